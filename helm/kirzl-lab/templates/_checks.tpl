{{/* What a schema cannot say: values that do not fit each other, each refused with a sentence. Takes $. */}}
{{- define "lab.checks" -}}
{{- $url := urlParse (include "lab.publicUrl" .) -}}
{{- $host := $url.hostname -}}
{{- $here := or (eq $host "localhost") (hasSuffix ".localhost" $host) -}}
{{- if or (not (has $url.scheme (list "http" "https"))) (not $host) -}}
{{- fail (printf "publicUrl is %s: it must begin with https:// and a host, for example https://lab.uni.example." .Values.publicUrl) -}}
{{- end -}}
{{- if or $url.path $url.query $url.fragment $url.userinfo -}}
{{- fail (printf "publicUrl is %s: the lab is the whole of its host, so give scheme, host and port only, for example https://lab.uni.example." .Values.publicUrl) -}}
{{- end -}}
{{- if and (eq $url.scheme "http") (not $here) -}}
{{- fail (printf "publicUrl is %s: logins travel in the clear over http, so it works with localhost names only. Use https:// and set up ingress or gateway." .Values.publicUrl) -}}
{{- end -}}
{{- if regexMatch "^[0-9.]+$|:" $host -}}
{{- fail (printf "publicUrl is %s: people's servers have names below the lab's host, so it must be a name and no number." .Values.publicUrl) -}}
{{- end -}}
{{- range $key := list "lab" "sizes" "institutions" -}}
{{- if not (get $.Values $key) -}}
{{- fail (printf "%s is not set: it is the content of hub_config/%s.yaml. See the chart's examples/." $key $key) -}}
{{- end -}}
{{- end -}}
{{- range $name, $institution := .Values.institutions.institutions -}}
{{- if and $institution.client_secret_env (not $institution.demo) (not $.Values.institutionSecrets) -}}
{{- fail (printf "institutions: %s has its client secret in %s, but institutionSecrets names no Secret. Create one with that key, and give its name." $name $institution.client_secret_env) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.demo.enabled (not $here) -}}
{{- fail (printf "demo.enabled: the demo institutions have known passwords, so they work with localhost names only, but publicUrl is %s. Leave demo.enabled out and set up your institutions." .Values.publicUrl) -}}
{{- end -}}
{{- if and .Values.database.url .Values.database.existingSecret -}}
{{- fail "database: give either url or existingSecret, not both." -}}
{{- end -}}
{{- if and .Values.database.url (not (hasPrefix "postgresql+psycopg://" .Values.database.url)) -}}
{{- fail "database.url must begin with postgresql+psycopg://, for example postgresql+psycopg://lab:password@db.uni.example:5432/lab." -}}
{{- end -}}
{{- if and .Values.z2jh.enabled (or .Values.ingress.enabled .Values.gateway.enabled) -}}
{{- fail "z2jh.enabled: the way in is set up in the values of Zero to JupyterHub, so leave out ingress and gateway here." -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) (not .Values.gateway.className) -}}
{{- fail "gateway.enabled: name the Gateway that you run in gateway.parentRefs, or a GatewayClass for one of the lab's own in gateway.className." -}}
{{- end -}}
{{- if and .Values.gateway.enabled .Values.gateway.parentRefs .Values.gateway.className -}}
{{- fail "gateway: give either parentRefs or className, not both." -}}
{{- end -}}
{{- if and .Values.gateway.enabled .Values.gateway.className (not .Values.gateway.tlsSecret) -}}
{{- fail (printf "gateway.className: the lab's own Gateway needs gateway.tlsSecret, a Secret with the certificate for %s and *.%s." $host $host) -}}
{{- end -}}
{{- end }}
