{{/* squid.conf. Takes $. */}}
{{- define "egress.configuration" -}}
# Only the hosts of lab.package_mirrors: CONNECT to port 443, GET and HEAD of http on port 80.
http_port 3128
visible_hostname egress

# -n: an address is not looked up backwards, or whoever owns it could give it a name of the list.
{{- range include "egress.mirrors" . | fromJsonArray }}
acl mirrors dstdomain -n {{ . }}
{{- end }}
{{- range .Values.network.privateMirrors }}
acl ours dst {{ . }}
{{- end }}
# Each range is a list of its own, since Squid takes none into a list that holds another with it.
{{- $inside := concat (include "network.forbidden4" . | fromJsonArray) (include "network.forbidden6" . | fromJsonArray)
    (list "::/128" "::1/128" "64:ff9b::/96" "100::/64" "fc00::/7" "fe80::/10" "ff00::/8") }}
{{- range $number, $range := $inside }}
acl inside{{ $number }} dst {{ $range }}
{{- end }}
acl inside any-of{{ range $number, $_ := $inside }} inside{{ $number }}{{ end }}
acl CONNECT method CONNECT
acl reading method GET HEAD
acl plain proto HTTP
acl port443 port 443
acl port80 port 80

# Its own pages tell who asks for what.
http_access deny manager
http_access deny CONNECT !port443
http_access deny !CONNECT !reading
http_access deny !CONNECT !plain
http_access deny !CONNECT !port80
# Before the lines below, which ask the DNS: names that are not listed are not asked for.
http_access deny !mirrors
# A name that is listed may mean an address inside, by mistake or on purpose.
http_access deny inside{{ if .Values.network.privateMirrors }} !ours{{ end }}
http_access allow mirrors
http_access deny all

# Nothing about the one who asks, or about this proxy.
via off
forwarded_for delete
httpd_suppress_version_string on

# One line a request: who (the server's address), where to, how much. No paths: they may hold a password.
logformat lab {"time":"%{%Y-%m-%dT%H:%M:%S}tg.%03tuZ","who":"%>a","method":"%#rm","host":"%#>rd","port":"%>rP","status":%>Hs,"sent":%>st,"received":%<st,"ms":%tr,"outcome":"%Ss"}
acl asked has request
access_log stdio:/dev/stdout logformat=lab asked
# Beside it only what is grave.
cache_log /dev/stderr
debug_options ALL,0
cache_store_log none
logfile_rotate 0

# Nothing to disk, little in memory.
cache deny all
cache_mem 0
memory_pools off
max_filedescriptors 4096
pid_filename none
coredump_dir /tmp
pinger_enable off
hosts_file none
shutdown_lifetime 5 seconds
{{- end }}

{{/* The hosts of lab.package_mirrors, as a JSON list, without those that a domain in it contains: Squid would drop the domain. */}}
{{- define "egress.mirrors" -}}
{{- $hosts := list -}}
{{- $all := .Values.lab.package_mirrors -}}
{{- range $host := $all -}}
{{- $within := false -}}
{{- range $domain := $all -}}
{{- if and (hasPrefix "." $domain) (ne $domain $host) (or (hasSuffix $domain $host) (eq (print "." $host) $domain)) }}{{ $within = true }}{{ end -}}
{{- end -}}
{{- if not $within }}{{ $hosts = append $hosts $host }}{{ end -}}
{{- end -}}
{{- toJson $hosts -}}
{{- end }}
