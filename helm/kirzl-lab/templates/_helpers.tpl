{{/* What several templates need. Those that concern one component take (dict "root" $ "component" "hub"). */}}

{{/* Labels by which Deployments, Services and policies find the pods of a component. They never change. */}}
{{- define "lab.selector" -}}
app.kubernetes.io/name: kirzl-lab
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of an object. Not of pods: they would restart with every version of the chart. */}}
{{- define "lab.labels" -}}
{{ include "lab.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What the cluster pulls: (dict "root" $ "name" "hub"). */}}
{{- define "lab.image" -}}
{{- $images := .root.Values.images -}}
{{- with get $images.references .name -}}
{{ . }}
{{- else -}}
{{- if not $images.registry -}}
{{- fail (printf "images.registry is not set: say where the lab's images are, for example your.registry/lab, or give images.references.%s." .name) -}}
{{- end -}}
{{ trimSuffix "/" $images.registry }}/{{ .name }}:{{ $images.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Image and pull policy of a container: (dict "root" $ "name" "hub"). */}}
{{- define "lab.container" -}}
image: {{ include "lab.image" . | quote }}
imagePullPolicy: {{ .root.Values.images.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* What every pod of the lab has: no way to the API server, rights that Pod Security `restricted` asks for. Takes $. */}}
{{- define "lab.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.pods.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.pods.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pods.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The public address without a slash at its end; its host; the front door's port. Take $. */}}
{{- define "lab.publicUrl" -}}
{{- .Values.publicUrl | required "publicUrl is not set: say under which address browsers reach the lab, for example https://lab.uni.example." | trimSuffix "/" -}}
{{- end }}

{{- define "lab.publicHost" -}}
{{- get (urlParse (include "lab.publicUrl" .)) "hostname" -}}
{{- end }}

{{- define "lab.publicPort" -}}
{{- $url := urlParse (include "lab.publicUrl" .) -}}
{{- $named := regexFind "[0-9]+$" (trimPrefix $url.hostname $url.host) -}}
{{- if .Values.publicPort -}}
{{ .Values.publicPort }}
{{- else -}}
{{ if eq $url.scheme "http" }}{{ $named | default "80" }}{{ else }}80{{ end }}
{{- end -}}
{{- end }}

{{/* Where the demo institutions are: a name of their own at the same front door. Takes $. */}}
{{- define "lab.demoUrl" -}}
{{- $url := urlParse (include "lab.publicUrl" .) -}}
{{ $url.scheme }}://institutions.{{ $url.host }}
{{- end }}

{{/* "true" when some space may ask package mirrors, so that the egress proxy is needed. Takes $. */}}
{{- define "lab.egress" -}}
{{- if (.Values.lab).package_mirrors -}}true{{- end -}}
{{- end }}

{{/* The Secret with the lab's own secrets. Takes $. */}}
{{- define "lab.secret" -}}
{{ .Values.existingSecret | default "lab-secrets" }}
{{- end }}
