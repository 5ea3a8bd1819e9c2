{{/* The name of a part: the release's own for `main`. Takes root and key. */}}
{{- define "app.name" -}}
{{- if eq .key "main" -}}{{ .root.Release.Name }}{{- else -}}{{ .root.Release.Name }}-{{ .key }}{{- end -}}
{{- end -}}

{{- define "app.instance" -}}
app.kubernetes.io/name: {{ .Release.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "app.labels" -}}
{{ include "app.instance" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* What selects the pods of one controller. Takes root and key. */}}
{{- define "app.selector" -}}
{{ include "app.instance" .root }}
app.kubernetes.io/component: {{ .key }}
{{- end -}}
