{{/* Where backups are kept: a folder of the pod or an S3 URL. */}}
{{- define "finetuned.backupTarget" -}}
{{- with .Values.backup -}}
{{- if eq .type "s3" -}}
s3://{{ .s3.bucket }}{{ with trimAll "/" .s3.prefix }}/{{ . }}{{ end }}
{{- else -}}
/backups
{{- end -}}
{{- end -}}
{{- end }}

{{/* Credentials and endpoint of the backups' bucket, if they differ from those of storage. */}}
{{- define "finetuned.backupEnv" -}}
{{- $s3 := .Values.backup.s3 -}}
{{- if and (eq .Values.backup.type "s3") $s3.existingSecret -}}
- name: FINETUNED_BACKUP_AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {name: {{ $s3.existingSecret }}, key: access-key-id}
- name: FINETUNED_BACKUP_AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ $s3.existingSecret }}, key: secret-access-key}
- {name: FINETUNED_BACKUP_AWS_REGION, value: {{ $s3.region | quote }}}
{{- with $s3.endpoint }}
- {name: FINETUNED_BACKUP_AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
{{- if $s3.allowHttp }}
- {name: FINETUNED_BACKUP_AWS_ALLOW_HTTP, value: "true"}
{{- end }}
{{- if $s3.disableBulkDelete }}
- {name: FINETUNED_BACKUP_AWS_DISABLE_BULK_DELETE, value: "true"}
{{- end }}
{{- end -}}
{{- end }}

{{- define "finetuned.checkBackup" -}}
{{- $v := .Values -}}
{{- if and $v.backup.enabled (eq $v.backup.type "s3") -}}
{{- with $v.backup.s3 -}}
{{- if not .bucket -}}
{{- fail "backup.s3.bucket: backup.type is s3, so set the bucket" -}}
{{- end -}}
{{- if and (not .existingSecret) (ne $v.storage.type "s3") -}}
{{- fail "backup.s3.existingSecret: name a Secret with the credentials of the bucket" -}}
{{- end -}}
{{- if and .endpoint (not .existingSecret) -}}
{{- fail "backup.s3.existingSecret: without it, the endpoint of storage.s3 is used; set it, or leave backup.s3.endpoint empty" -}}
{{- end -}}
{{- if and (hasPrefix "http://" .endpoint) (not .allowHttp) -}}
{{- fail "backup.s3.endpoint: the endpoint is not encrypted; use https://, or set backup.s3.allowHttp=true" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
