{{/* The pod of a controller, as metadata and spec. Takes root, key, controller, mounted and job. */}}
{{- define "app.pod" -}}
{{- $root := .root -}}
{{- $options := $root.Values.defaultPodOptions -}}
{{- $mounted := .mounted -}}
metadata:
  labels:
    {{- include "app.selector" . | nindent 4 }}
    {{- with merge (dict) (dig "pod" "labels" dict .controller) $options.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/configuration: {{ $root.Values.configMaps | toJson | sha256sum }}
    {{- with merge (dict) (dig "pod" "annotations" dict .controller) $options.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  {{- /* Otherwise the kubelet would give it a variable for each Service of the namespace, such as BAZEL_REMOTE_PORT,
         which a program may take for a setting of its own. */}}
  enableServiceLinks: false
  {{- if .job }}
  restartPolicy: Never
  {{- end }}
  terminationGracePeriodSeconds: {{ $options.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ $options.securityContext.runAsUser }}
    runAsGroup: {{ $options.securityContext.runAsGroup }}
    fsGroup: {{ $options.securityContext.fsGroup }}
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- with $options.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $options.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $options.hostAliases }}
  hostAliases: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if gt (int (.controller.replicas | default 1)) 1 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "app.selector" . | nindent 10 }}
  {{- end }}
  {{- with .controller.initContainers }}
  initContainers:
    {{- range $name, $container := . }}
    {{- include "app.container" (dict "name" $name "container" $container "mounts" (get $mounted.mounts $name)) | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    {{- $ports := fromYamlArray (include "app.ports" .) }}
    {{- range $name, $container := .controller.containers }}
    {{- include "app.container" (dict "name" $name "container" $container "mounts" (get $mounted.mounts $name) "ports" $ports) | nindent 4 }}
    {{- $ports = list }}
    {{- end }}
  {{- with $mounted.volumes }}
  volumes: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* One container as an item of a list. Takes name, container and mounts. */}}
{{- define "app.container" -}}
{{- $image := .container.image -}}
- name: {{ .name }}
  image: {{ $image.repository }}{{ with $image.tag }}:{{ . }}{{ end }}@{{ $image.digest }}
  imagePullPolicy: IfNotPresent
  {{- with .container.command }}
  command: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .container.args }}
  args: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .container.workingDir }}
  workingDir: {{ . }}
  {{- end }}
  {{- with .container.env }}
  env:
    {{- range $variable, $value := . }}
    - name: {{ $variable }}
      {{- if kindIs "map" $value }}
      {{- toYaml $value | nindent 6 }}
      {{- else }}
      value: {{ toString $value | quote }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- with .container.envFrom }}
  envFrom: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    allowPrivilegeEscalation: false
    {{- if dig "securityContext" "runAsRoot" false .container }}
    runAsNonRoot: false
    runAsUser: 0
    runAsGroup: 0
    {{- end }}
    readOnlyRootFilesystem: {{ dig "securityContext" "readOnlyRootFilesystem" true .container }}
    capabilities:
      drop: [ALL]
      {{- if dig "securityContext" "bindLowPorts" false .container }}
      add: [NET_BIND_SERVICE]
      {{- end }}
  {{- with .container.lifecycle }}
  lifecycle: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- range $kind, $probe := .container.probes }}
  {{- if $probe.enabled }}
  {{ $kind }}Probe: {{- include "app.probe" $probe | nindent 4 }}
  {{- end }}
  {{- end }}
  resources: {{- toYaml .container.resources | nindent 4 }}
  {{- with .ports }}
  ports: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .mounts }}
  volumeMounts: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "app.probe" -}}
{{- $spec := .spec | default dict -}}
{{- if .custom -}}
{{- toYaml $spec -}}
{{- else -}}
{{- $asked := dict "port" .port -}}
{{- $how := "tcpSocket" -}}
{{- if eq .type "HTTP" -}}
  {{- $how = "httpGet" -}}
  {{- $_ := set $asked "path" (.path | default "/") -}}
{{- else if eq .type "GRPC" -}}
  {{- $how = "grpc" -}}
{{- end -}}
{{- toYaml (merge (dict $how $asked) $spec) -}}
{{- end -}}
{{- end -}}

{{/* The ports of a controller's Services, by name, so that a NetworkPolicy can name them. A pod's containers share them, so
its first one has them all. Takes root and key. */}}
{{- define "app.ports" -}}
{{- $seen := dict -}}
{{- range $service := .root.Values.service -}}
{{- if eq $service.controller $.key -}}
{{- range $name, $port := $service.ports -}}
{{- $target := $port.targetPort | default $port.port -}}
{{- if and (hasKey $seen $name) (ne (toString (get $seen $name)) (toString $target)) -}}
{{- fail (printf "service: two ports of controller %s are called %s and lead to %v and %v; name them differently" $.key $name (get $seen $name) $target) -}}
{{- end }}
{{- if not (hasKey $seen $name) }}
- {name: {{ $name }}, containerPort: {{ $target }}, protocol: {{ $port.protocol | default "TCP" }}}
{{- end }}
{{- $_ := set $seen $name $target -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
