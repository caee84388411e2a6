{{/* Location of a secret: dict root, source (existingSecret), key. */}}
{{- define "finetuned.secretRef" -}}
name: {{ .source.existingSecret | default (include "finetuned.fullname" .root) }}
key: {{ .key }}
{{- end }}

{{/* A secret of this chart: dict root, key, value, prefix. An existing value in the cluster is kept. */}}
{{- define "finetuned.secretValue" -}}
{{- $there := lookup "v1" "Secret" .root.Release.Namespace (include "finetuned.fullname" .root) | default dict -}}
{{- $kept := get ($there.data | default dict) .key -}}
{{- if .value -}}{{ b64enc .value }}
{{- else if $kept -}}{{ $kept }}
{{- else -}}{{ printf "%s%s" (.prefix | default "") (randAlphaNum 43) | b64enc }}
{{- end -}}
{{- end }}

{{/* Values that determine the secrets, for a checksum; generated secrets never change. */}}
{{- define "finetuned.secretSources" -}}
{{- $v := .Values -}}
{{ list $v.valkey.password $v.engineKey $v.redis.external $v.storage.s3 | toJson }}
{{- end }}

{{/*
FINETUNED_REDIS_URL; the kubelet inserts the password into the bundled Valkey's URL. The variable with the
password starts with FINETUNED_, so that the worker's child processes, which read user input, do not get it.
*/}}
{{- define "finetuned.redisEnv" -}}
{{- if eq .Values.redis.type "bundled" -}}
- name: FINETUNED_VALKEY_PASSWORD
  valueFrom:
    secretKeyRef: {{- include "finetuned.secretRef" (dict "root" . "source" .Values.valkey.password "key" "valkey-password") | nindent 6 }}
- name: FINETUNED_REDIS_URL
  value: redis://:$(FINETUNED_VALKEY_PASSWORD)@{{ include "finetuned.fullname" . }}-valkey.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:6379/0
{{- else -}}
- name: FINETUNED_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.external.existingSecret | default (include "finetuned.fullname" .) }}
      key: {{ if .Values.redis.external.existingSecret }}url{{ else }}redis-url{{ end }}
{{- end -}}
{{- end }}

{{/* S3 credentials, unless the pods have their own identity: dict root, component. */}}
{{- define "finetuned.storageEnv" -}}
{{- $s3 := .root.Values.storage.s3 -}}
{{- if and (eq .component "inference") $s3.enginesSecret -}}
{{- $s3 = dict "existingSecret" $s3.enginesSecret -}}
{{- end -}}
{{- if and (eq .root.Values.storage.type "s3") (or $s3.existingSecret $s3.accessKeyId) -}}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {{- include "finetuned.secretRef" (dict "root" .root "source" $s3 "key" "access-key-id") | nindent 6 }}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {{- include "finetuned.secretRef" (dict "root" .root "source" $s3 "key" "secret-access-key") | nindent 6 }}
{{- end -}}
{{- end }}
