{{/* Location of a secret: dict root, source (existingSecret), key. */}}
{{- define "finetuned.secretRef" -}}
name: {{ .source.existingSecret | default (include "finetuned.fullname" .root) }}
key: {{ .key }}
{{- end }}

{{/*
A secret of this chart: dict root, key, value, prefix, name (of the Secret, after that of the chart), ed25519 (whether
it is such a key). An existing value in the cluster is kept.
*/}}
{{- define "finetuned.secretValue" -}}
{{- $name := printf "%s%s" (include "finetuned.fullname" .root) (.name | default "") -}}
{{- $there := lookup "v1" "Secret" .root.Release.Namespace $name | default dict -}}
{{- $kept := get ($there.data | default dict) .key -}}
{{- if .value -}}{{ b64enc .value }}
{{- else if $kept -}}{{ $kept }}
{{- else if .ed25519 -}}{{ genPrivateKey "ed25519" | b64enc }}
{{- else -}}{{ printf "%s%s" (.prefix | default "") (randAlphaNum 43) | b64enc }}
{{- end -}}
{{- end }}

{{/* Values that determine the secrets, for a checksum; generated secrets never change. */}}
{{- define "finetuned.secretSources" -}}
{{- $v := .Values -}}
{{ list $v.valkey.password $v.valkey.users $v.engineKey $v.redis.external $v.storage.s3 | toJson }}
{{- end }}

{{/*
Whether each process has its own user of the bundled Valkey. With passwords of the operator, only if those of the
users are among them.
*/}}
{{- define "finetuned.hasUsers" -}}
{{- $valkey := .Values.valkey -}}
{{- if and (eq .Values.redis.type "bundled") $valkey.users.enabled (or $valkey.users.existingSecret (not $valkey.password.existingSecret)) -}}
yes
{{- end -}}
{{- end }}

{{/* Secret with the password of a user of the bundled Valkey: dict root, user. */}}
{{- define "finetuned.userRef" -}}
{{- $users := .root.Values.valkey.users -}}
{{- include "finetuned.secretRef" (dict "root" .root "source" $users "key" (ternary .user (printf "valkey-%s" .user) (ne $users.existingSecret ""))) -}}
{{- end }}

{{/*
FINETUNED_REDIS_URL: dict root, component (none for an operator's command). The kubelet inserts the password into the
bundled Valkey's URL. The variable with the password starts with FINETUNED_, so that the worker's child processes,
which read user input, do not get it.
*/}}
{{- define "finetuned.redisEnv" -}}
{{- $root := .root -}}
{{- $component := .component | default "" -}}
{{- $tls := include "finetuned.tlsSecret" (dict "root" $root "part" "valkey") -}}
{{- $user := ternary "engine" $component (eq $component "inference") -}}
{{- if eq $root.Values.redis.type "bundled" -}}
{{- if not (include "finetuned.hasUsers" $root) }}{{ $user = "" }}{{ end -}}
- name: FINETUNED_VALKEY_PASSWORD
  valueFrom:
    secretKeyRef:
      {{- if $user }}
      {{- include "finetuned.userRef" (dict "root" $root "user" $user) | nindent 6 }}
      {{- else }}
      {{- include "finetuned.secretRef" (dict "root" $root "source" $root.Values.valkey.password "key" "valkey-password") | nindent 6 }}
      {{- end }}
- name: FINETUNED_REDIS_URL
  value: redis{{ if $tls }}s{{ end }}://{{ $user }}:$(FINETUNED_VALKEY_PASSWORD)@{{ include "finetuned.fullname" $root }}-valkey.{{ $root.Release.Namespace }}.svc.{{ $root.Values.clusterDomain }}:6379/0{{ if $tls }}?ssl_ca_certs=/etc/finetuned-ca/ca.crt{{ end }}
{{- else -}}
{{- $external := $root.Values.redis.external -}}
- name: FINETUNED_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ $external.existingSecret | default (include "finetuned.fullname" $root) }}
      {{- if $external.existingSecret }}
      key: url{{ if and $external.users $user }}-{{ $user }}{{ end }}
      {{- else }}
      key: redis-url
      {{- end }}
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
