{{/* The engines of one model, a base model or a merged one: dict root, model. */}}
{{- define "finetuned.engine" }}
{{- $root := .root }}
{{- $model := .model }}
{{- $values := $root.Values }}
{{- /* The model's own engine settings override the common ones. */}}
{{- $part := dict }}
{{- range $key, $value := omit $values.inference "env" }}{{ $_ := set $part $key $value }}{{ end }}
{{- range $key, $value := $model.engine | default dict }}{{ $_ := set $part $key $value }}{{ end }}
{{- $gpu := $part.gpu | default (dict "count" 1) }}
{{- $_ := set $part "gpu" $gpu }}
{{- $slug := include "finetuned.modelSlug" $model.id }}
{{- $args := list "inference" $model.id }}
{{- if gt (int (dig "count" 1 $gpu)) 1 }}
{{- $args = append $args (printf "--tensor-parallel-size=%d" (int $gpu.count)) }}
{{- end }}
{{- $args = concat $args ($part.args | default list) }}
{{- $env := merge (dict) (dig "engine" "env" dict $model) $values.inference.env }}
{{- $sleeps := eq $values.gpuSharing "time-slice" }}
{{- $which := dict "root" $root "component" "inference" "name" (printf "vllm-%s" $slug) "model" $slug "part" $part "priority" "serving" }}
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
    metadata:
      labels: {{- include "finetuned.podLabels" $which | nindent 8 }}
      annotations: {{- include "finetuned.podAnnotations" $which | nindent 8 }}
    spec:
      {{- include "finetuned.pod" $which | nindent 6 }}
      {{- include "finetuned.spread" $which | nindent 6 }}
      terminationGracePeriodSeconds: {{ add $values.inference.drainSeconds 30 }}
      {{- with include "finetuned.modelCopies" (dict "root" $root "models" (list $model)) | trim }}
      initContainers: {{- . | nindent 8 }}
      {{- end }}
      containers:
        - name: vllm
          image: {{ include "finetuned.image" (dict "root" $root "which" "inference") }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          args: {{- toYaml $args | nindent 12 }}
          {{- include "finetuned.envOfAll" (dict "root" $root "component" "inference" "env" $env) | nindent 10 }}
          ports:
            - {name: http, containerPort: {{ $values.inference.port }}}
          startupProbe:
            httpGet: {path: /health, port: http}
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
            httpGet: {path: /health, port: http}
            periodSeconds: 15
            timeoutSeconds: 10
            failureThreshold: 4
          readinessProbe:
            httpGet: {path: /health, port: http}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 3
          {{- end }}
          lifecycle:
            preStop:
              exec: {command: [sleep, {{ $values.inference.drainSeconds | quote }}]}
          {{- include "finetuned.resources" (dict "resources" $part.resources "gpu" $gpu) | nindent 10 }}
          {{- include "finetuned.containerSecurity" $root | nindent 10 }}
          volumeMounts:
            {{- include "finetuned.mounts" (dict "root" $root "storageReadOnly" true) | nindent 12 }}
            - {name: shm, mountPath: /dev/shm}
      volumes:
        {{- include "finetuned.volumes" $root | nindent 8 }}
        {{- include "finetuned.scratchVolume" (dict "name" "data" "size" $values.inference.cache.size "storageClass" $values.inference.cache.storageClass) | nindent 8 }}
        - name: shm
          emptyDir: {medium: Memory, sizeLimit: {{ $values.inference.sharedMemory }}}
---
{{- include "finetuned.headless" (merge (dict "port" $values.inference.port "portName" "http") $which) }}
---
{{- include "finetuned.budget" $which }}
{{- if dig "keda" "enabled" false $part }}
---
{{- include "finetuned.scaledEngine" (merge (dict "id" $model.id) $which) }}
{{- end }}
{{- end }}
