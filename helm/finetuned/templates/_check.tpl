{{/* Rejects incompatible combinations of values; the schema validates single values. */}}
{{- define "finetuned.check" -}}
{{- $v := .Values -}}
{{- if and $v.engineKey.existingSecret $v.engineKey.value -}}
{{- fail "engineKey: set existingSecret or value, not both" -}}
{{- end -}}
{{- if and $v.adminKey.existingSecret $v.adminKey.value -}}
{{- fail "adminKey: set existingSecret or value, not both" -}}
{{- end -}}
{{- if and $v.valkey.password.existingSecret $v.valkey.password.value -}}
{{- fail "valkey.password: set existingSecret or value, not both" -}}
{{- end -}}
{{- $owned := list "API_HOST" "API_PORT" "API_METRICS_HOST" "API_METRICS_PORT" "WORKER_HOST" "WORKER_PORT" "WORKER_NAME" "INFERENCE_HOST" "INFERENCE_PORT" "DATA_DIR" "MODELS_FILE" "STORAGE_URL" "UPSTREAMS" "UPSTREAMS_FILE" "ENGINE_START_WAIT_S" "UPSTREAM_API_KEY" "ENCRYPTION_KEY" "GPU_SHARING" "GPU_MODELS" "TRAIN_SLO_MS" "STOP_GRACE_S" "REDIS_URL" "WEBHOOK_ALLOWED_HOSTS" "MLFLOW_TRACKING_URIS" "MLFLOW_TRACKING_TOKEN" "MLFLOW_TRACKING_USERNAME" "MLFLOW_TRACKING_PASSWORD" "RAY_ADDRESS" "RAY_DEVICE" "API_TLS_CERT" "API_TLS_KEY" "AUDIT_WITNESS_URL" "CONSOLE" "OIDC_CLIENT_ID" "OIDC_CLIENT_SECRET" "OIDC_REDIRECT_URI" "OIDC_DISPLAY_NAME" -}}
{{- $known := .Files.Lines "files/settings.txt" -}}
{{- range $name, $_ := $v.settings -}}
{{- if hasPrefix "FINETUNED_" $name -}}
{{- fail (printf "settings: write %s without the prefix FINETUNED_" $name) -}}
{{- end -}}
{{- if has $name $owned -}}
{{- fail (printf "settings: %s is set from other values of this chart" $name) -}}
{{- end -}}
{{- if not (has $name $known) -}}
{{- fail (printf "settings: there is no %s; the most similar name is %s" $name (include "finetuned.nearest" (dict "name" $name "known" $known))) -}}
{{- end -}}
{{- end -}}
{{- if and $v.trainSloMs (ne $v.gpuSharing "share") -}}
{{- fail "trainSloMs: trainings are paced only next to engines, so set gpuSharing=share as well" -}}
{{- end -}}
{{- include "finetuned.checkRedis" . -}}
{{- include "finetuned.checkStorage" . -}}
{{- include "finetuned.checkBackup" . -}}
{{- include "finetuned.checkIdentityProvider" . -}}
{{- include "finetuned.checkAudit" . -}}
{{- include "finetuned.checkModels" . -}}
{{- include "finetuned.checkKeda" . -}}
{{- include "finetuned.checkRay" . -}}
{{- include "finetuned.checkTls" . -}}
{{- include "finetuned.checkNodes" . -}}
{{- range include "finetuned.outside" . | fromYamlArray -}}
{{- if and .needed $v.networkPolicy.enabled (not (get $v.networkPolicy .value)) -}}
{{- fail (printf "networkPolicy.%s: allow egress to %s, such as [{to: [{ipBlock: {cidr: 10.1.2.0/24}}], ports: [{port: %v}]}], or set networkPolicy.enabled=false" .value .to .port) -}}
{{- end -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: name the Gateway that the route belongs to" -}}
{{- end -}}
{{- end }}

{{/* The name that has most pairs of letters in common with another: dict name, known. */}}
{{- define "finetuned.nearest" -}}
{{- $name := .name -}}
{{- $best := "" -}}{{- $most := -1 -}}
{{- range $one := .known -}}
{{- $score := 0 -}}
{{- range $i := until (sub (len $name) 1 | int) -}}
{{- if contains (substr $i (add $i 2 | int) $name) $one -}}{{- $score = add $score 200 -}}{{- end -}}
{{- end -}}
{{- $score = div $score (add (len $name) (len $one)) -}}
{{- if gt (int $score) (int $most) -}}{{- $most = $score -}}{{- $best = $one -}}{{- end -}}
{{- end -}}
{{- $best -}}
{{- end }}

{{- define "finetuned.checkIdentityProvider" -}}
{{- $v := .Values -}}
{{- with $v.identityProvider -}}
{{- if and .clientId (not .redirectUri) -}}
{{- fail "identityProvider.redirectUri: set the address that is registered at the provider, such as https://finetuned.example/v1/session/callback" -}}
{{- end -}}
{{- if and (or .redirectUri .existingSecret) (not .clientId) -}}
{{- fail "identityProvider.clientId: set the ID of the client, too" -}}
{{- end -}}
{{- if and .clientId (not (hasKey $v.settings "OIDC_ISSUER")) -}}
{{- fail "settings.OIDC_ISSUER: identityProvider.clientId needs the settings of tokens, see docs/access.md" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "finetuned.checkAudit" -}}
{{- $v := .Values -}}
{{- if and $v.audit.export.enabled (not $v.audit.export.endpoint) -}}
{{- fail "audit.export.endpoint: audit.export is enabled, so set the URL of the collector" -}}
{{- end -}}
{{- end }}

{{- define "finetuned.checkRedis" -}}
{{- $v := .Values -}}
{{- with $v.redis.external -}}
{{- if and .existingSecret .url -}}
{{- fail "redis.external: set existingSecret or url, not both" -}}
{{- end -}}
{{- if and .users (not .existingSecret) -}}
{{- fail "redis.external.users: each user has its own URL, so put them into existingSecret, under the keys url, url-api, url-worker and url-engine" -}}
{{- end -}}
{{- if eq $v.redis.type "external" -}}
{{- if not (or .existingSecret .url) -}}
{{- fail "redis.external: redis.type is external, so set existingSecret or url" -}}
{{- end -}}
{{- else if or .existingSecret .url -}}
{{- fail "redis.external: set redis.type=external as well, or leave existingSecret and url empty" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A quantity of memory, such as 2Gi, 500M or 1536mb, in MiB. */}}
{{- define "finetuned.mebibytes" -}}
{{- $units := dict "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "mb" 1048576.0 "gb" 1073741824.0 -}}
{{- divf (mulf (regexFind "^[0-9.]+" (toString .) | float64) (get $units (regexFind "[A-Za-z]+$" (toString .)) | default 1.0)) 1048576.0 | floor | int64 -}}
{{- end }}

{{/* Valkey's maxmemory: as given, or three quarters of its limit, because it also needs memory to rewrite its file. */}}
{{- define "finetuned.maxmemory" -}}
{{- with .Values.valkey -}}
{{- $limit := dig "limits" "memory" "" .resources -}}
{{- $most := div (mul 3 (include "finetuned.mebibytes" ($limit | default "2Gi") | int64)) 4 -}}
{{- if and .maxmemory $limit (gt (include "finetuned.mebibytes" .maxmemory | int64) $most) -}}
{{- fail (printf "valkey.maxmemory: %s is more than three quarters of the memory limit (%s); raise valkey.resources.limits.memory, or leave maxmemory empty" .maxmemory $limit) -}}
{{- end -}}
{{- .maxmemory | default (printf "%dmb" $most) -}}
{{- end -}}
{{- end }}

{{- define "finetuned.checkStorage" -}}
{{- $v := .Values -}}
{{- with $v.storage.s3 -}}
{{- if and .existingSecret (or .accessKeyId .secretAccessKey) -}}
{{- fail "storage.s3: set existingSecret or accessKeyId and secretAccessKey, not both" -}}
{{- end -}}
{{- if ne (empty .accessKeyId) (empty .secretAccessKey) -}}
{{- fail "storage.s3: set accessKeyId and secretAccessKey together" -}}
{{- end -}}
{{- if eq $v.storage.type "s3" -}}
{{- if not .bucket -}}
{{- fail "storage.s3.bucket: storage.type is s3, so set the bucket" -}}
{{- end -}}
{{- if and (hasPrefix "http://" .endpoint) (not .allowHttp) -}}
{{- fail "storage.s3.endpoint: the endpoint is not encrypted; use https://, or set storage.s3.allowHttp=true" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "finetuned.checkModels" -}}
{{- $seen := dict -}}
{{- range .Values.models -}}
{{- if hasKey $seen .id -}}
{{- fail (printf "models: the id %s appears twice" .id) -}}
{{- end -}}
{{- $_ := set $seen .id true -}}
{{- if and .image .s3 -}}
{{- fail (printf "models: %s comes from an image or from s3, not from both" .id) -}}
{{- end -}}
{{- if and .s3 $.Values.networkPolicy.enabled (not $.Values.networkPolicy.storageEgress) -}}
{{- fail (printf "networkPolicy.storageEgress: allow egress to the S3 with the model %s, or set networkPolicy.enabled=false" .id) -}}
{{- end -}}
{{- if and (eq $.Values.modelStore.type "emptyDir") (not .image) -}}
{{- fail (printf "models: modelStore.type is emptyDir, so the model %s needs an image to copy it from" .id) -}}
{{- end -}}
{{- $store := printf "%s/" (trimSuffix "/" $.Values.modelStore.mountPath) -}}
{{- range $path := list .path (.servingPath | default .path) -}}
{{- if not (hasPrefix $store $path) -}}
{{- fail (printf "models: the path %s is not below modelStore.mountPath (%s)" $path $.Values.modelStore.mountPath) -}}
{{- end -}}
{{- end -}}
{{- if and .servingPath (has (.servingQuantization | default "auto") (list "fp8" "nf4")) -}}
{{- fail (printf "models: the weights in servingPath of %s are quantized already, so leave out servingQuantization" .id) -}}
{{- end -}}
{{- end -}}
{{- $pools := dict "cpu" true -}}
{{- range .Values.worker.gpuPools -}}
{{- if hasKey $pools .name -}}
{{- fail (printf "worker.gpuPools: the name %s appears twice, or is the name of the cpu worker" .name) -}}
{{- end -}}
{{- $_ := set $pools .name true -}}
{{- end -}}
{{- end }}

{{/* Engines that are divided among several nodes. */}}
{{- define "finetuned.checkNodes" -}}
{{- range include "finetuned.served" . | fromYamlArray -}}
{{- if gt (int (dig "engine" "nodes" 1 .)) 1 -}}
{{- if dig "engine" "keda" "enabled" false . -}}
{{- fail (printf "models: KEDA cannot scale the engine of %s, which has several nodes" .id) -}}
{{- end -}}
{{- if ne $.Values.gpuSharing "separate" -}}
{{- fail (printf "models: the engine of %s has several nodes, which needs gpuSharing: separate" .id) -}}
{{- end -}}
{{- if and (not (hasPrefix "ft:" .id)) (not $.Values.inference.cache.sharedClaim) -}}
{{- fail (printf "inference.cache.sharedClaim: the engine of %s has several nodes, so name a claim (ReadWriteMany) in which they find the adapters" .id) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "finetuned.checkKeda" -}}
{{- $scaled := list -}}
{{- range .Values.worker.gpuPools -}}
{{- if dig "keda" "enabled" false . -}}{{- $scaled = append $scaled .name -}}{{- end -}}
{{- end -}}
{{- range include "finetuned.served" . | fromYamlArray -}}
{{- if dig "engine" "keda" "enabled" false . -}}
{{- $scaled = append $scaled .id -}}
{{- if eq (int (dig "engine" "keda" "minReplicas" 1 .)) 0 -}}
{{- if hasPrefix "ft:" .id -}}
{{- fail (printf "models: the engine of %s cannot start from zero, because requests go to that of its base model" .id) -}}
{{- end -}}
{{- if not $.Values.inference.startWaitSeconds -}}
{{- fail (printf "inference.startWaitSeconds: the engine of %s starts from zero, so set how long requests wait for it, such as 600" .id) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $scaled (not .Values.keda.prometheus) -}}
{{- fail (printf "keda.prometheus: KEDA scales %s, so set the URL of Prometheus" (join ", " $scaled)) -}}
{{- end -}}
{{- if and $scaled (eq (int .Values.worker.cpu.replicas) 0) -}}
{{- fail "worker.cpu.replicas: KEDA needs a cpu worker, which reports the number of waiting jobs" -}}
{{- end -}}
{{- end }}
