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

{{/* The Secret with the token for metrics. Takes $. */}}
{{- define "lab.metricsSecret" -}}
{{ .Values.existingSecret | default "lab-metrics" }}
{{- end }}

{{/* What receipts are signed with, as a variable. Takes $. */}}
{{- define "lab.receiptVariable" -}}
- name: KIRZL_LAB_RECEIPT_KEYS
  valueFrom:
    secretKeyRef:
      name: {{ .Values.existingSecret | default "lab-receipts" }}
      key: KIRZL_LAB_RECEIPT_KEYS
{{- end }}

{{/* "true" where the chart runs a PostgreSQL of its own. Takes $. */}}
{{- define "lab.ownDatabase" -}}
{{- if not (or .Values.database.url .Values.database.existingSecret) -}}true{{- end -}}
{{- end }}

{{/* One of the lab's own secrets as a variable: (dict "root" $ "name" "CONFIGPROXY_AUTH_TOKEN"); "as" names it otherwise. */}}
{{- define "lab.secretVariable" -}}
- name: {{ .as | default .name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "lab.secret" .root }}
      key: {{ .name }}
{{- end }}

{{/* The token for metrics as a variable. Takes $. */}}
{{- define "lab.metricsVariable" -}}
- name: KIRZL_LAB_METRICS_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ include "lab.metricsSecret" . }}
      key: KIRZL_LAB_METRICS_TOKEN
      optional: true # without it there are no metrics
{{- end }}

{{/*
What every process of the image `hub` is told. (dict "root" $ "database" NAME), NAME being the Secret that holds
database.url.
*/}}
{{- define "lab.variables" -}}
- name: KIRZL_LAB_HUB_CONFIG
  value: /etc/kirzl-lab/hub_config
- name: KIRZL_LAB_COURSES
  value: /etc/kirzl-lab/courses
- name: KIRZL_LAB_DATA
  value: /var/lib/kirzl-lab
- name: KIRZL_LAB_CLUSTER
  value: /etc/kirzl-lab/cluster.json
- name: KIRZL_LAB_PUBLIC_URL
  value: {{ include "lab.publicUrl" .root | quote }}
- name: KIRZL_LAB_BLOBS
  value: {{ .root.Values.blobs.url | default "/var/lib/kirzl-lab-blobs" | quote }}
{{- if .root.Values.demo.enabled }}
- name: KIRZL_LAB_DEMO_URL
  value: {{ include "lab.demoUrl" .root | quote }}
- name: KIRZL_LAB_UAS_SECRET # of a demo institution: everybody knows it
  value: demo-secret-uas
{{- end }}
{{- if include "lab.ownDatabase" .root }}
{{ include "lab.secretVariable" (dict "root" .root "name" "KIRZL_LAB_DATABASE_PASSWORD") }}
- name: KIRZL_LAB_DATABASE_URL
  value: postgresql+psycopg://postgres:$(KIRZL_LAB_DATABASE_PASSWORD)@postgres:5432/lab
{{- else }}
- name: KIRZL_LAB_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .root.Values.database.existingSecret | default .database }}
      key: KIRZL_LAB_DATABASE_URL
{{- end }}
{{- end }}

{{/* The namespace in which submissions are run. Takes $. */}}
{{- define "lab.graders" -}}
{{ .Release.Namespace }}-graders
{{- end }}

{{/* What the blob store's bucket is read and written with, as variables of a container. Takes $. */}}
{{- define "lab.blobSecret" -}}
{{- with .Values.blobs.existingSecret -}}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
{{- end }}

{{/* The blob store in a container, and the volume behind; a bucket needs room for what comes in alone. Take $. */}}
{{- define "lab.blobMount" -}}
- name: blobs
  mountPath: /var/lib/kirzl-lab-blobs
{{- end }}

{{- define "lab.blobVolume" -}}
- name: blobs
  {{- if .Values.blobs.url }}
  emptyDir: {}
  {{- else }}
  persistentVolumeClaim:
    claimName: blobs
  {{- end }}
{{- end }}

{{/* The way to the API server, for the one container that mounts it. */}}
{{- define "lab.apiVolume" -}}
- name: api
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3600
      - configMap:
          name: kube-root-ca.crt
          items: [{ key: ca.crt, path: ca.crt }]
      - downwardAPI:
          items: [{ path: namespace, fieldRef: { fieldPath: metadata.namespace } }]
{{- end }}

{{/* Client secrets of institutions, for what checks or uses logins. Takes $. */}}
{{- define "lab.institutionSecrets" -}}
{{- with .Values.institutionSecrets -}}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
{{- end }}

{{/*
Where the files of the lab are in a container, and the volumes behind: (dict "catalogue" NAME "cluster" NAME). The files
are mounted one by one, since jupyterhub_config.py of the image is in the same folder.
*/}}
{{- define "lab.mounts" -}}
- name: catalogue
  mountPath: /etc/kirzl-lab/hub_config/lab.yaml
  subPath: lab.yaml
  readOnly: true
- name: catalogue
  mountPath: /etc/kirzl-lab/hub_config/sizes.yaml
  subPath: sizes.yaml
  readOnly: true
- name: catalogue
  mountPath: /etc/kirzl-lab/hub_config/institutions.yaml
  subPath: institutions.yaml
  readOnly: true
- name: cluster
  mountPath: /etc/kirzl-lab/cluster.json
  subPath: cluster.json
  readOnly: true
- name: courses
  mountPath: /etc/kirzl-lab/courses
- name: data
  mountPath: /var/lib/kirzl-lab
- name: tmp
  mountPath: /tmp
{{- end }}

{{- define "lab.volumes" -}}
- name: catalogue
  configMap:
    name: {{ .catalogue }}
- name: cluster
  configMap:
    name: {{ .cluster }}
- name: courses # applied to the lab database by `prepare`; nobody else reads them
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- end }}

{{/* The files of the ConfigMaps `catalogue` and `cluster`; also what pods restart for. Take $. */}}
{{- define "lab.catalogueFiles" -}}
lab.yaml: |
  {{- toYaml .Values.lab | nindent 2 }}
sizes.yaml: |
  {{- toYaml .Values.sizes | nindent 2 }}
institutions.yaml: |
  {{- toYaml .Values.institutions | nindent 2 }}
{{- end }}

{{- define "lab.clusterFiles" -}}
{{- $images := omit .Values.images.references "base" "hub" "proxy" "postgres" "egress" "demo-institutions" "grader" -}}
{{- range list "notebook" "notebook-gpu" -}}
{{- $images = set $images . (include "lab.image" (dict "root" $ "name" .)) -}}
{{- end -}}
{{- $site := dict
  "namespace" .Release.Namespace
  "release" .Release.Name
  "images" $images
  "image_pull_policy" .Values.images.pullPolicy
  "image_pull_secrets" .Values.images.pullSecrets
  "home_storage_class" .Values.storage.homeClass
  "shared_storage_class" .Values.storage.sharedClass
  "egress_proxy" (ternary "http://egress:3128" nil (eq (include "lab.egress" .) "true"))
  "hub_url" "http://hub:8081"
  "service_url" "http://service:8080"
  "proxy_api_url" "http://proxy-api:8001"
  "extra_routes" dict
  "server_node_selector" .Values.servers.nodeSelector
  "server_tolerations" .Values.servers.tolerations
  "server_priority_class" .Values.servers.priorityClassName
  "graders" (dict
    "namespace" (include "lab.graders" .)
    "image" (include "lab.image" (dict "root" . "name" "grader"))
    "cpus" .Values.grading.cpus
    "memory_gib" .Values.grading.memoryGib
    "minutes" .Values.grading.minutes
    "at_once" .Values.grading.atOnce
    "tasks" "http://tasks:8090"
  )
-}}
{{- if .Values.demo.enabled -}}
{{- $_ := set $site.extra_routes (printf "institutions.%s/" (include "lab.publicHost" .)) "http://demo-institutions:9400" -}}
{{- end -}}
cluster.json: |
  {{- $site | toPrettyJson | nindent 2 }}
{{- end }}
