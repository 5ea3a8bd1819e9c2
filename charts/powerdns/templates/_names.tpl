{{- define "powerdns.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "powerdns.selector" -}}
app.kubernetes.io/name: powerdns
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "powerdns.labels" -}}
{{ include "powerdns.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "powerdns.image" -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag }}{{- end -}}
{{- end -}}

{{- define "powerdns.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "powerdns.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Settings that belong to the chart: a value of `settings` must not quietly replace one. */}}
{{- define "powerdns.ownSettings" -}}
allow-axfr-ips also-notify api api-key daemon default-soa-content disable-axfr gmysql-dbname gmysql-host gmysql-password gmysql-port gmysql-user guardian include-dir launch local-address local-port only-notify primary query-cache-ttl secondary setgid setuid socket-dir webserver webserver-address webserver-allow-from webserver-password webserver-port xfr-cycle-interval zone-cache-refresh-interval
{{- end -}}
