{{/* What network-policies.yaml and egress.yaml share. */}}

{{/* How a policy begins: (list $ NAME COMPONENT [LABEL]), where LABEL narrows it. */}}
{{- define "network.policy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "lab.labels" (dict "root" (first .) "component" (index . 2)) | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "network.labels" (dict "root" (first .) "component" (index . 2)) | nindent 6 }}
      {{- with slice . 3 }}
      {{ first . }}
      {{- end }}
  policyTypes: [Ingress, Egress]
{{- end }}

{{/* By what the pods of a component are known. Servers are made by the hub; hub and proxy may be those of another chart. */}}
{{- define "network.labels" -}}
{{- if eq .component "servers" -}}
app.kubernetes.io/component: singleuser-server
{{- else if and .root.Values.z2jh.enabled (has .component (list "hub" "proxy")) -}}
app.kubernetes.io/name: jupyterhub
app.kubernetes.io/component: {{ .component }}
{{- else -}}
{{ include "lab.selector" . }}
{{- end -}}
{{- end }}

{{/* A rule: these components may come to this port, (list $ PORT COMPONENT...). */}}
{{- define "network.from" -}}
- ports: {{ include "network.tcp" (list (index . 1)) }}
  from:
    {{- include "network.pods" (prepend (slice . 2) (first .)) | nindent 4 }}
{{- end }}

{{/* A rule: the way to these ports of a component, (list $ COMPONENT PORT...). */}}
{{- define "network.to" -}}
- ports: {{ include "network.tcp" (slice . 2) }}
  to:
    {{- include "network.pods" (slice . 0 2) | nindent 4 }}
{{- end }}

{{/* The pods of components, as peers of a rule: (list $ COMPONENT...). */}}
{{- define "network.pods" -}}
{{- $root := first . -}}
{{- range $place, $component := rest . -}}
{{- if $place }}{{ "\n" }}{{ end -}}
- podSelector:
    matchLabels:
      {{- include "network.labels" (dict "root" $root "component" $component) | nindent 6 }}
{{- end }}
{{- end }}

{{/* TCP ports of a rule, inline: (list 80 443). */}}
{{- define "network.tcp" -}}
[{{ range $place, $port := . }}{{ if $place }}, {{ end }}{ port: {{ int $port }}, protocol: TCP }{{ end }}]
{{- end }}

{{/*
The API server as JSON: ranges and ports. It is no pod that a policy could name. Where values do not tell, its addresses
are those that the cluster tells when the chart is installed; none where the chart is rendered without a cluster.
*/}}
{{- define "network.apiServer" -}}
{{- $ranges := list -}}
{{- $ports := list -}}
{{- $slice := lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes" -}}
{{- range $slice.endpoints -}}
{{- range .addresses }}{{ $ranges = append $ranges (printf "%s/%s" . (contains ":" . | ternary "128" "32")) }}{{ end -}}
{{- end -}}
{{- range $slice.ports }}{{ $ports = append $ports (int .port) }}{{ end -}}
{{- $given := .Values.network.apiServer -}}
{{- dict "ranges" ($given.ranges | default $ranges) "ports" ($given.ports | default $ports) | toJson -}}
{{- end }}

{{/*
Addresses that are no place in the internet, as a JSON list (IANA's special-purpose registry): this network, private,
carrier-grade NAT, loopback, link-local with the metadata address, protocol assignments, benchmarks, multicast,
reserved; and the address at which Azure's machines find their host. Then the API server and what the site forbids.
*/}}
{{- define "network.forbidden4" -}}
{{- $ranges := list "0.0.0.0/8" "10.0.0.0/8" "100.64.0.0/10" "127.0.0.0/8" "168.63.129.16/32" "169.254.0.0/16"
    "172.16.0.0/12" "192.0.0.0/24" "192.168.0.0/16" "198.18.0.0/15" "224.0.0.0/4" "240.0.0.0/4" -}}
{{- range concat (include "network.apiServer" . | fromJson).ranges .Values.network.forbidden -}}
{{- if not (contains ":" .) }}{{ $ranges = append $ranges . }}{{ end -}}
{{- end -}}
{{- uniq $ranges | toJson -}}
{{- end }}

{{/* The same among the global unicast addresses of IPv6, 2000::/3: protocol assignments, and 6to4, which holds IPv4. */}}
{{- define "network.forbidden6" -}}
{{- $ranges := list "2001::/23" "2002::/16" -}}
{{- range concat (include "network.apiServer" . | fromJson).ranges .Values.network.forbidden -}}
{{- if regexMatch "^[23][0-9a-f]{3}:" . }}{{ $ranges = append $ranges . }}{{ end -}}
{{- end -}}
{{- uniq $ranges | toJson -}}
{{- end }}

{{/* The internet, as peers of a rule. Takes $. */}}
{{- define "network.internet" -}}
- ipBlock:
    cidr: 0.0.0.0/0
    except:
      {{- include "network.forbidden4" . | fromJsonArray | toYaml | nindent 6 }}
{{- if .Values.network.ipv6 }}
- ipBlock:
    cidr: 2000::/3
    except:
      {{- include "network.forbidden6" . | fromJsonArray | toYaml | nindent 6 }}
{{- end }}
{{- end }}

{{/* Address ranges, as peers of a rule: a list of CIDRs. */}}
{{- define "network.ranges" -}}
{{- range $place, $range := . -}}
{{- if $place }}{{ "\n" }}{{ end -}}
- ipBlock: { cidr: {{ quote $range }} }
{{- end }}
{{- end }}

{{/* A rule: the way to the cluster's DNS. Takes $. */}}
{{- define "network.dnsRule" -}}
- to:
    {{- toYaml .Values.network.dns.to | nindent 4 }}
  ports:
    {{- range .Values.network.dns.ports }}
    - { port: {{ . }}, protocol: UDP }
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
{{- end }}

{{/* A rule: the way to the API server, at its usual ports wherever it is not known. Takes $. */}}
{{- define "network.apiServerRule" -}}
{{- $server := include "network.apiServer" . | fromJson -}}
- ports: {{ include "network.tcp" ($server.ports | default (list 443 6443)) }}
  {{- with $server.ranges }}
  to:
    {{- include "network.ranges" . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* A rule: the way to the lab database, the chart's own or the site's. Takes $. */}}
{{- define "network.databaseRule" -}}
{{- if include "network.ownDatabase" . -}}
- ports: {{ include "network.tcp" .Values.network.database.ports }}
  {{- with .Values.network.database.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- else -}}
{{ include "network.to" (list . "postgres" 5432) }}
{{- end }}
{{- end }}

{{/* A rule: the way to the bucket of the blob store, where it is one; nothing for a volume. Takes $. */}}
{{- define "network.blobRule" -}}
{{- if .Values.blobs.url -}}
- ports: {{ include "network.tcp" .Values.network.blobs.ports }}
  {{- with .Values.network.blobs.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* "true" when the lab database is one of the site's own. Takes $. */}}
{{- define "network.ownDatabase" -}}
{{- if or .Values.database.url .Values.database.existingSecret -}}true{{- end -}}
{{- end }}

{{/* The ports of the institutions' issuers, as a JSON list: 443, and those that their addresses name. Takes $. */}}
{{- define "network.issuerPorts" -}}
{{- $ports := list 443 -}}
{{- range (.Values.institutions).institutions -}}
{{- with regexFind "[0-9]+$" (regexFind ":[0-9]+$" (urlParse (.issuer | default "")).host) }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end }}
