{{/* The workers of one pool: dict root, part. */}}
{{- define "finetuned.worker" }}
{{- $root := .root }}
{{- $part := .part }}
{{- $values := $root.Values }}
{{- $which := dict "root" $root "component" "worker" "name" (printf "worker-%s" $part.name) "pool" $part.name "part" $part "priority" "training" }}
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
  selector:
    matchLabels: {{- include "finetuned.selector" $which | nindent 6 }}
  template: {{- include "finetuned.podTemplate" (merge (dict "pod" (include "finetuned.workerPod" $which)) $which) | nindent 4 }}
---
{{- include "finetuned.headless" (merge (dict "port" 9100 "portName" "metrics") $which) }}
---
{{- include "finetuned.budget" $which }}
{{- if dig "keda" "enabled" false $part }}
---
{{- include "finetuned.scaledWorker" (merge (dict) $which) }}
{{- end }}
{{- end }}

{{/* The pod of a worker: dict root, part. */}}
{{- define "finetuned.workerPod" }}
{{- $which := . }}
{{- $root := .root }}
{{- $part := .part }}
{{- $values := $root.Values }}
{{- $queues := $part.queues | default (list "gpu") }}
{{- $gpu := $part.gpu | default dict }}
{{- $signingKey := and (has "cpu" $queues) $values.exports.signingKey.existingSecret }}
{{- $sealingKey := $values.audit.signingKey.existingSecret | default (printf "%s-signing-key" (include "finetuned.fullname" $root)) }}
{{- $seals := and (has "cpu" $queues) (not (hasKey $values.settings "SIGNING_KEY_FILE")) (not (hasKey ($part.env | default dict) "FINETUNED_SIGNING_KEY_FILE")) }}
{{- $grace := int $values.worker.stopGraceSeconds }}
    metadata:
      annotations: {{- include "finetuned.podAnnotations" $which | nindent 8 }}
    spec:
      # The trainer's grace period to save a checkpoint, and the same again to upload it to storage.
      terminationGracePeriodSeconds: {{ add (mul 2 $grace) 30 }}
      {{- with include "finetuned.modelCopies" (dict "root" $root "models" $values.models) | trim }}
      initContainers: {{- . | nindent 8 }}
      {{- end }}
      containers:
        - name: worker
          image: {{ include "finetuned.image" (dict "root" $root "which" "worker") }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          args: [worker, --queues, {{ join "," $queues | quote }}]
          {{- include "finetuned.envOfAll" (dict "root" $root "component" "worker" "env" (merge (dict) ($part.env | default dict) (include "finetuned.trainerEnv" $gpu | fromYaml) (include "finetuned.gpuShare" (dict "root" $root "part" $part) | fromYaml))) | nindent 10 }}
            - name: FINETUNED_WORKER_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            - name: FINETUNED_IMAGE
              value: {{ include "finetuned.image" (dict "root" $root "which" "worker") }}
            {{- if eq $part.name "ray" }}
            {{- with include "finetuned.rayToken" $root }}
            {{- . | nindent 12 }}
            {{- end }}
            {{- end }}
            {{- if $seals }}
            - name: FINETUNED_SIGNING_KEY_FILE
              value: /etc/finetuned-sealing/signing-key.pem
            {{- end }}
            {{- if $signingKey }}
            - name: FINETUNED_EXPORT_SIGNING_KEY
              value: /etc/finetuned-signing/signing-key.pem
            {{- end }}
            {{- if has "cpu" $queues }}
            {{- with $values.mlflow.existingSecret }}
            {{- range $name := list "token" "username" "password" }}
            - name: FINETUNED_MLFLOW_TRACKING_{{ upper $name }}
              valueFrom: {secretKeyRef: {name: {{ $values.mlflow.existingSecret }}, key: {{ $name }}, optional: true}}
            {{- end }}
            {{- end }}
            {{- end }}
          ports:
            - {name: metrics, containerPort: 9100}
          startupProbe:
            httpGet: {path: /livez, port: metrics}
            periodSeconds: 5
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /livez, port: metrics}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /readyz, port: metrics}
            periodSeconds: 10
            timeoutSeconds: 8
            failureThreshold: 3
          {{- include "finetuned.resources" (dict "resources" $part.resources "gpu" $gpu) | nindent 10 }}
          volumeMounts:
            {{- include "finetuned.mounts" (dict "root" $root) | nindent 12 }}
            - {name: shm, mountPath: /dev/shm}
            {{- if $seals }}
            - {name: sealing-key, mountPath: /etc/finetuned-sealing, readOnly: true}
            {{- end }}
            {{- if $signingKey }}
            - {name: signing-key, mountPath: /etc/finetuned-signing, readOnly: true}
            {{- end }}
      volumes:
        {{- include "finetuned.volumes" $root | nindent 8 }}
        {{- include "finetuned.scratchVolume" (dict "name" "data" "size" $values.worker.scratch.size "storageClass" $values.worker.scratch.storageClass) | nindent 8 }}
        - name: shm
          emptyDir: {medium: Memory, sizeLimit: {{ $values.worker.sharedMemory }}}
        {{- if $seals }}
        - name: sealing-key
          secret: {secretName: {{ $sealingKey }}, defaultMode: 0440}
        {{- end }}
        {{- with $signingKey }}
        - name: signing-key
          secret: {secretName: {{ . }}, defaultMode: 0440}
        {{- end }}
{{- end }}

{{/* One training job uses all GPUs of the pod. */}}
{{- define "finetuned.trainerEnv" -}}
{{- if gt (.count | default 0 | int) 1 }}
FINETUNED_TRAINER_GPUS: {{ .count }}
{{- end }}
{{- end }}
