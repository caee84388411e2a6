{{/* The values of the engine of one model, over those of all engines: dict root, model. */}}
{{- define "finetuned.enginePart" }}
{{- $base := merge (dict "gpu" (dict "count" 1)) (omit .root.Values.inference "env") }}
{{- include "finetuned.overlay" (dict "base" $base "over" (.model.engine | default dict)) }}
{{- end }}

{{/*
Settings of a pod on a shared GPU: the models whose engines can be on it, because they ask for the same kind of GPU and
node: dict root, part.
*/}}
{{- define "finetuned.gpuShare" }}
{{- $names := list }}
{{- range include "finetuned.served" .root | fromYamlArray }}
{{- $engine := include "finetuned.enginePart" (dict "root" $.root "model" .) | fromYaml }}
{{- if eq (include "finetuned.gpuKind" $.part) (include "finetuned.gpuKind" $engine) }}{{ $names = append $names .id }}{{ end }}
{{- end }}
{{- if and (ne .root.Values.gpuSharing "separate") (gt (int (dig "gpu" "count" 0 .part)) 0) }}
{{- if $names }}
FINETUNED_GPU_MODELS: {{ join "," $names | quote }}
{{- else }}
FINETUNED_GPU_SHARING: separate
{{- end }}
{{- end }}
{{- end }}

{{- define "finetuned.gpuKind" }}
{{- dig "gpu" "resource" "nvidia.com/gpu" . }} {{ dig "gpu" "product" "" . }} {{ toJson (.nodeSelector | default dict) }}
{{- end }}

{{/* The engines of one base model: dict root, model. */}}
{{- define "finetuned.engine" }}
{{- $root := .root }}
{{- $model := .model }}
{{- $values := $root.Values }}
{{- /* The model's own engine settings override the common ones. */}}
{{- $part := include "finetuned.enginePart" . | fromYaml }}
{{- $gpu := $part.gpu }}
{{- $slug := include "finetuned.modelSlug" $model.id }}
{{- $args := list "inference" $model.id }}
{{- if gt (int (dig "count" 1 $gpu)) 1 }}
{{- $args = append $args (printf "--tensor-parallel-size=%d" (int $gpu.count)) }}
{{- end }}
{{- $nodes := int ($part.nodes | default 1) }}
{{- if gt $nodes 1 }}
{{- $args = concat $args (list (printf "--pipeline-parallel-size=%d" $nodes) (printf "--nnodes=%d" $nodes) "--master-addr=$(LWS_LEADER_ADDRESS)") }}
{{- end }}
{{- $tls := include "finetuned.tlsSecret" (dict "root" $root "part" "inference") }}
{{- if $tls }}
{{- $args = concat $args (list "--ssl-certfile=/etc/finetuned-tls/tls.crt" "--ssl-keyfile=/etc/finetuned-tls/tls.key" "--enable-ssl-refresh") }}
{{- end }}
{{- $args = concat $args ($part.args | default list) }}
{{- $which := dict "root" $root "component" "inference" "name" (printf "vllm-%s" $slug) "model" $slug "part" $part "priority" "serving" }}
{{- $pod := dict "root" $root "model" $model "which" $which "part" $part "nodes" $nodes }}
{{- if gt $nodes 1 }}
---
# vLLM divides the model among the pods of a group: the leader has the server, the others only compute.
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {{- include "finetuned.metadata" (merge (dict "name" (printf "vllm-%s-nodes" $slug)) $which) | nindent 2 }}
spec:
  replicas: {{ dig "replicas" 1 $part }}
  # There may be no spare GPU, so the old group stops first.
  rolloutStrategy:
    type: RollingUpdate
    rollingUpdateConfiguration: {maxSurge: 0, maxUnavailable: 1}
  leaderWorkerTemplate:
    size: {{ $nodes }}
    # vLLM does not notice that a node is gone, and cannot continue without it.
    restartPolicy: RecreateGroupOnPodRestart
    leaderTemplate:
      {{- include "finetuned.podTemplate" (merge (dict "pod" (include "finetuned.enginePod" (merge (dict "args" (append $args "--node-rank=0")) $pod))) $which) | nindent 6 }}
    workerTemplate:
      {{- include "finetuned.podTemplate" (merge (dict "pod" (include "finetuned.enginePod" (merge (dict "args" (concat $args (list "--node-rank=$(LWS_WORKER_INDEX)" "--headless")) "computes" true) $pod))) $which) | nindent 6 }}
---
{{- include "finetuned.headless" (merge (dict "port" $values.inference.port "portName" "http" "appProtocol" (ternary "https" "http" (ne $tls "")) "leaders" true) $which) }}
{{- else }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{- include "finetuned.metadata" $which | nindent 2 }}
spec:
  {{- if not (dig "keda" "enabled" false $part) }}
  replicas: {{ dig "replicas" 1 $part }}
  {{- end }}
  # There may be no spare GPU, so the old pod stops first.
  strategy:
    rollingUpdate: {maxSurge: 0, maxUnavailable: 1}
  progressDeadlineSeconds: {{ mul 60 (add $values.inference.startupMinutes 10) }}
  selector:
    matchLabels: {{- include "finetuned.selector" $which | nindent 6 }}
  template:
    {{- include "finetuned.podTemplate" (merge (dict "pod" (include "finetuned.enginePod" (merge (dict "args" $args) $pod))) $which) | nindent 4 }}
---
{{- include "finetuned.headless" (merge (dict "port" $values.inference.port "portName" "http" "appProtocol" (ternary "https" "http" (ne $tls ""))) $which) }}
---
{{- include "finetuned.budget" $which }}
{{- if dig "keda" "enabled" false $part }}
---
{{- include "finetuned.scaledEngine" (merge (dict "id" $model.id) $which) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The pod of an engine: dict root, model, which, part, args, nodes, and computes, for a pod of an engine on
several nodes that has no server.
*/}}
{{- define "finetuned.enginePod" -}}
{{- $root := .root }}
{{- $model := .model }}
{{- $which := .which }}
{{- $part := .part }}
{{- $values := $root.Values }}
{{- $gpu := $part.gpu }}
{{- $env := merge (dict) (dig "engine" "env" dict $model) $values.inference.env (include "finetuned.gpuShare" (dict "root" $root "part" $part) | fromYaml) }}
{{- $tls := dict "root" $root "part" "inference" }}
{{- $scheme := ternary ", scheme: HTTPS" "" (ne (include "finetuned.tlsSecret" $tls) "") }}
{{- $compiled := $values.inference.cache.compileClaim }}
{{- if $compiled }}
{{- $env = merge $env (dict "VLLM_CACHE_ROOT" "/var/lib/finetuned-compiled/vllm" "TRITON_CACHE_DIR" "/var/lib/finetuned-compiled/triton") }}
{{- end }}
{{- $sleeps := eq $values.gpuSharing "time-slice" }}
{{- /* The leader downloads an adapter, and each node loads it from the same path. */}}
{{- $shared := and (gt .nodes 1) $values.inference.cache.sharedClaim }}
metadata:
  annotations: {{- include "finetuned.podAnnotations" $which | nindent 4 }}
spec:
  {{- include "finetuned.spread" $which | nindent 2 }}
  terminationGracePeriodSeconds: {{ add $values.inference.drainSeconds $values.worker.stopGraceSeconds 30 }}
  {{- with include "finetuned.modelCopies" (dict "root" $root "models" (list $model) "serves" true) | trim }}
  initContainers: {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: vllm
      image: {{ include "finetuned.image" (dict "root" $root "which" "inference") }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: {{- toYaml .args | nindent 8 }}
      {{- include "finetuned.envOfAll" (dict "root" $root "component" "inference" "env" $env) | nindent 6 }}
        {{- if gt .nodes 1 }}
        - name: VLLM_HOST_IP
          valueFrom: {fieldRef: {fieldPath: status.podIP}}
        {{- if $shared }}
        - {name: FINETUNED_ADAPTER_CACHE_DIR, value: /var/lib/finetuned-adapters/{{ $which.model }}}
        {{- end }}
        {{- end }}
      {{- if not .computes }}
      ports:
        - {name: http, containerPort: {{ $values.inference.port }}}
      startupProbe:
        httpGet: {path: /health, port: http{{ $scheme }}}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: {{ mul 6 $values.inference.startupMinutes }}
      {{- if $sleeps }}
      # A sleeping engine is unhealthy but must not be killed or removed from DNS: the worker wakes it.
      livenessProbe:
        tcpSocket: {port: http}
        periodSeconds: 15
        failureThreshold: 4
      readinessProbe:
        tcpSocket: {port: http}
        periodSeconds: 5
      {{- else }}
      livenessProbe:
        httpGet: {path: /health, port: http{{ $scheme }}}
        periodSeconds: 15
        timeoutSeconds: 10
        failureThreshold: 4
      readinessProbe:
        httpGet: {path: /health, port: http{{ $scheme }}}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 3
      {{- end }}
      {{- end }}
      # Until gateways have noticed. vLLM ends a node without a server at once, so that one waits for the last answer.
      lifecycle:
        preStop:
          exec: {command: [sleep, {{ add $values.inference.drainSeconds (ternary $values.worker.stopGraceSeconds 0 (.computes | default false)) | quote }}]}
      {{- include "finetuned.resources" (dict "resources" $part.resources "gpu" $gpu) | nindent 6 }}
      volumeMounts:
        {{- include "finetuned.mounts" (dict "root" $root "storageReadOnly" true) | nindent 8 }}
        - {name: shm, mountPath: /dev/shm}
        {{- include "finetuned.tlsMount" $tls | nindent 8 }}
        {{- if $shared }}
        - {name: adapters, mountPath: /var/lib/finetuned-adapters}
        {{- end }}
        {{- if $compiled }}
        - {name: compiled, mountPath: /var/lib/finetuned-compiled}
        {{- end }}
  volumes:
    {{- include "finetuned.volumes" $root | nindent 4 }}
    {{- include "finetuned.scratchVolume" (dict "name" "data" "size" $values.inference.cache.size "storageClass" $values.inference.cache.storageClass) | nindent 4 }}
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: {{ $values.inference.sharedMemory }}}
    {{- include "finetuned.tlsVolume" $tls | nindent 4 }}
    {{- if $shared }}
    - name: adapters
      persistentVolumeClaim: {claimName: {{ $values.inference.cache.sharedClaim }}}
    {{- end }}
    {{- with $compiled }}
    - name: compiled
      persistentVolumeClaim: {claimName: {{ . }}}
    {{- end }}
{{- end }}
