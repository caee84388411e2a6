{{/* Settings that must be the same for all processes, as environment variables. */}}
{{- define "finetuned.settings" -}}
{{- $values := .Values -}}
FINETUNED_API_HOST: "0.0.0.0"
FINETUNED_API_PORT: "8000"
FINETUNED_API_METRICS_HOST: "0.0.0.0"
FINETUNED_API_METRICS_PORT: "9101"
FINETUNED_WORKER_HOST: "0.0.0.0"
FINETUNED_WORKER_PORT: "9100"
FINETUNED_INFERENCE_HOST: "0.0.0.0"
FINETUNED_INFERENCE_PORT: {{ $values.inference.port | quote }}
FINETUNED_DATA_DIR: /var/lib/finetuned
FINETUNED_MODELS_FILE: /etc/finetuned/models.yaml
FINETUNED_STORAGE_URL: {{ include "finetuned.storageURL" . }}
FINETUNED_UPSTREAMS_FILE: /etc/finetuned/upstreams.json
FINETUNED_ENGINE_START_WAIT_S: {{ int $values.inference.startWaitSeconds | quote }}
FINETUNED_GPU_SHARING: {{ $values.gpuSharing }}
FINETUNED_TRAIN_SLO_MS: {{ int $values.trainSloMs | quote }}
FINETUNED_STOP_GRACE_S: {{ $values.worker.stopGraceSeconds | quote }}
{{- if not $values.console.enabled }}
FINETUNED_CONSOLE: "false"
{{- end }}
{{- with $values.identityProvider }}
{{- if .clientId }}
FINETUNED_OIDC_CLIENT_ID: {{ .clientId | quote }}
FINETUNED_OIDC_REDIRECT_URI: {{ .redirectUri | quote }}
{{- with .displayName }}
FINETUNED_OIDC_DISPLAY_NAME: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with $values.webhooks.allowedHosts }}
FINETUNED_WEBHOOK_ALLOWED_HOSTS: {{ join "," . | quote }}
{{- end }}
{{- with $values.mlflow.trackingUris }}
FINETUNED_MLFLOW_TRACKING_URIS: {{ join "," . | quote }}
{{- end }}
{{- with $values.audit.witness.url }}
FINETUNED_AUDIT_WITNESS_URL: {{ . | quote }}
{{- end }}
{{- range $name, $value := $values.settings }}
FINETUNED_{{ $name }}: {{ include "finetuned.plain" $value | quote }}
{{- end }}
HOME: /tmp
XDG_CACHE_HOME: /var/lib/finetuned/cache
HF_HUB_OFFLINE: "1"
DO_NOT_TRACK: "1"
PYTHONUNBUFFERED: "1"
{{- if include "finetuned.caSecret" . }}
SSL_CERT_FILE: /etc/finetuned-ca/ca.crt
{{- end }}
{{- if eq $values.storage.type "s3" }}
AWS_REGION: {{ $values.storage.s3.region }}
{{- with $values.storage.s3.endpoint }}
AWS_ENDPOINT_URL: {{ . }}
{{- end }}
{{- if $values.storage.s3.allowHttp }}
AWS_ALLOW_HTTP: "true"
{{- end }}
{{- if $values.storage.s3.disableBulkDelete }}
AWS_DISABLE_BULK_DELETE: "true"
{{- end }}
{{- end }}
{{- end }}

{{- define "finetuned.storageURL" -}}
{{- $storage := .Values.storage -}}
{{- if eq $storage.type "s3" -}}
s3://{{ $storage.s3.bucket }}{{ with trimAll "/" $storage.s3.prefix }}/{{ . }}{{ end }}
{{- else -}}
file:///var/lib/finetuned-storage
{{- end -}}
{{- end }}

{{/* The base models that have an engine, as a YAML list. */}}
{{- define "finetuned.served" -}}
{{- $served := list -}}
{{- range .Values.models -}}
{{- if dig "engine" "enabled" true . -}}{{- $served = append $served . -}}{{- end -}}
{{- end -}}
{{ toYaml $served }}
{{- end }}

{{/* The addresses of the engines by model, as JSON. They are no environment variable, so that a new model restarts nothing. */}}
{{- define "finetuned.upstreams" -}}
{{- $upstreams := dict -}}
{{- $scheme := ternary "https" "http" (ne (include "finetuned.tlsSecret" (dict "root" $ "part" "inference")) "") -}}
{{- range include "finetuned.served" . | fromYamlArray -}}
{{- $name := include "finetuned.engineName" (dict "root" $ "model" .) -}}
{{- $_ := set $upstreams .id (printf "dns+%s://%s.%s.svc.%s:%d" $scheme $name $.Release.Namespace $.Values.clusterDomain (int $.Values.inference.port)) -}}
{{- end -}}
{{ toJson $upstreams }}
{{- end }}

{{/* The catalog of base models. */}}
{{- define "finetuned.catalogue" -}}
{{- $entries := list -}}
{{- range .Values.models -}}
{{- $entry := dict "id" .id "path" .path "license" .license "context_length" (int64 .contextLength) "languages" (.languages | default list) "served" (dig "engine" "enabled" true .) -}}
{{- with .parameters -}}{{- $_ := set $entry "parameters" (int64 .) -}}{{- end -}}
{{- with .toolCallParser -}}{{- $_ := set $entry "tool_call_parser" . -}}{{- end -}}
{{- with .reasoningParser -}}{{- $_ := set $entry "reasoning_parser" . -}}{{- end -}}
{{- with .servingQuantization -}}{{- $_ := set $entry "serving_quantization" . -}}{{- end -}}
{{- with .servingPath -}}{{- $_ := set $entry "serving_path" . -}}{{- end -}}
{{- $entries = append $entries $entry -}}
{{- end -}}
{{ dict "models" $entries | toYaml }}
{{- end }}
