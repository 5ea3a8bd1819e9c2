{{/*
Which volumes a controller mounts, as JSON: {volumes: [...], mounts: {<container>: [...]}, once: bool}. `once`: it mounts
a claim that one node may write. Takes root, key and controller.
*/}}
{{- define "app.mounted" -}}
{{- $root := .root -}}
{{- $key := .key -}}
{{- $names := concat (keys (.controller.containers | default dict)) (keys (.controller.initContainers | default dict)) | sortAlpha -}}
{{- $volumes := list -}}
{{- $mounts := dict -}}
{{- $once := false -}}
{{- range $name, $volume := $root.Values.persistence -}}
  {{- $used := false -}}
  {{- range $container := $names -}}
    {{- $advanced := dig $key $container list ($volume.advancedMounts | default dict) -}}
    {{- range $mount := concat ($volume.globalMounts | default list) $advanced -}}
      {{- $used = true -}}
      {{- $one := dict "name" $name "mountPath" $mount.path -}}
      {{- if $mount.subPath -}}{{- $_ := set $one "subPath" $mount.subPath -}}{{- end -}}
      {{- if $mount.readOnly -}}{{- $_ := set $one "readOnly" true -}}{{- end -}}
      {{- $_ := set $mounts $container (append (get $mounts $container | default list) $one) -}}
    {{- end -}}
  {{- end -}}
  {{- if $used -}}
    {{- $source := fromYaml (include "app.volume" (dict "root" $root "name" $name "volume" $volume)) -}}
    {{- $volumes = append $volumes (merge (dict "name" $name) $source) -}}
    {{- if and (eq $volume.type "persistentVolumeClaim") (ne $volume.accessMode "ReadWriteMany") -}}
      {{- $once = true -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- dict "volumes" $volumes "mounts" $mounts "once" $once | toJson -}}
{{- end -}}

{{/* A volume's source. Takes root, name and volume. */}}
{{- define "app.volume" -}}
{{- $volume := .volume -}}
{{- if eq $volume.type "persistentVolumeClaim" }}
persistentVolumeClaim:
  claimName: {{ $volume.existingClaim | default (include "app.name" (dict "root" .root "key" .name)) }}
{{- else if eq $volume.type "emptyDir" }}
emptyDir:
  sizeLimit: {{ $volume.sizeLimit }}
  {{- with $volume.medium }}
  medium: {{ . }}
  {{- end }}
{{- else if eq $volume.type "secret" }}
secret:
  secretName: {{ $volume.name }}
  defaultMode: 288
  {{- with $volume.items }}
  items: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- else }}
{{- if $volume.identifier }}
{{- if not (hasKey .root.Values.configMaps $volume.identifier) }}
{{- fail (printf "persistence.%s.identifier: there is no configMaps.%s; add it, or name another ConfigMap by `name`" .name $volume.identifier) }}
{{- end }}
{{- end }}
configMap:
  name: {{ $volume.name | default (include "app.name" (dict "root" .root "key" $volume.identifier)) }}
  {{- with $volume.items }}
  items: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}
