{{/* Address of the Ray cluster that runs trainings; empty if none does. */}}
{{- define "finetuned.rayAddress" -}}
{{- if .Values.ray.cluster.enabled -}}
ray://{{ include "finetuned.fullname" . }}-ray-head-svc.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:10001
{{- else -}}
{{ .Values.ray.address }}
{{- end -}}
{{- end }}

{{/* Settings of the worker that gives trainings to the Ray cluster. */}}
{{- define "finetuned.rayWorkerEnv" -}}
FINETUNED_RAY_ADDRESS: {{ include "finetuned.rayAddress" . }}
FINETUNED_RAY_DEVICE: {{ .Values.ray.device }}
FINETUNED_TRAINER_GPUS: {{ .Values.ray.gpus }}
{{- with .Values.ray.gpuMemoryBytes }}
FINETUNED_TRAINER_MEMORY_BYTES: {{ int64 . }}
{{- end }}
{{- end }}

{{/* The token of the Ray cluster. KubeRay generates one for the cluster that it creates. */}}
{{- define "finetuned.rayToken" -}}
{{- $secret := .Values.ray.existingSecret -}}
{{- if and .Values.ray.cluster.enabled (not $secret) -}}
{{- $secret = printf "%s-ray" (include "finetuned.fullname" .) -}}
{{- end -}}
{{- with $secret -}}
- {name: RAY_AUTH_MODE, value: token}
- name: RAY_AUTH_TOKEN
  valueFrom: {secretKeyRef: {name: {{ . }}, key: auth_token}}
{{- end -}}
{{- end }}

{{/*
A pod of the Ray cluster: dict root, part, name (head or the group's), port (for probes). It gets no secret
of the service, and neither Redis nor storage.
*/}}
{{- define "finetuned.rayPod" -}}
{{- include "finetuned.podTemplate" (dict "root" .root "component" "ray" "pool" .name "part" .part "priority" "training" "pod" (include "finetuned.rayPodOnly" .)) -}}
{{- end }}

{{- define "finetuned.rayPodOnly" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $gpu := .part.gpu | default dict -}}
spec:
  {{- if ne .name "head" }}
  {{- with include "finetuned.modelCopies" (dict "root" $root "models" $values.models) | trim }}
  initContainers: {{- . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: ray
      image: {{ include "finetuned.image" (dict "root" $root "which" "worker") }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      env:
        - {name: HOME, value: /tmp}
        - {name: HF_HUB_OFFLINE, value: "1"}
        - {name: DO_NOT_TRACK, value: "1"}
        - {name: RAY_USAGE_STATS_ENABLED, value: "0"}
        # Ray's default priority is a low one.
        - {name: RAY_worker_niceness, value: "0"}
        - {name: FINETUNED_SCRATCH_DIR, value: /var/lib/finetuned/scratch}
        {{- with .part.env }}
        {{- include "finetuned.env" . | trim | nindent 8 }}
        {{- end }}
      {{- if eq .name "head" }}
      ports:
        - {name: gcs-server, containerPort: 6379}
        - {name: client, containerPort: 10001}
      {{- end }}
      # KubeRay's own probes need programs that the image does not have.
      livenessProbe:
        tcpSocket: {port: {{ .port }}}
        initialDelaySeconds: 60
        periodSeconds: 15
        failureThreshold: 8
      readinessProbe:
        tcpSocket: {port: {{ .port }}}
        periodSeconds: 5
        failureThreshold: 12
      {{- include "finetuned.resources" (dict "resources" .part.resources "gpu" $gpu) | nindent 6 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: data, mountPath: /var/lib/finetuned}
        - {name: models, mountPath: {{ $values.modelStore.mountPath }}, readOnly: true}
        - {name: shm, mountPath: /dev/shm}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 20Gi}
    {{- include "finetuned.scratchVolume" (dict "name" "data" "size" $values.worker.scratch.size "storageClass" $values.worker.scratch.storageClass) | nindent 4 }}
    - name: models
      {{- if eq $values.modelStore.type "emptyDir" }}
      emptyDir: {sizeLimit: {{ $values.modelStore.size }}}
      {{- else }}
      persistentVolumeClaim:
        claimName: {{ $values.modelStore.existingClaim | default (printf "%s-models" (include "finetuned.fullname" $root)) }}
      {{- end }}
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: {{ $values.worker.sharedMemory }}}
{{- end }}

{{- define "finetuned.checkRay" -}}
{{- $ray := .Values.ray -}}
{{- if and $ray.address $ray.cluster.enabled -}}
{{- fail "ray: set address or cluster.enabled, not both" -}}
{{- end -}}
{{- if or $ray.address $ray.cluster.enabled -}}
{{- if not $ray.gpus -}}
{{- fail "ray.gpus: set the number of the cluster's GPUs that one training uses" -}}
{{- end -}}
{{- range .Values.worker.gpuPools -}}
{{- if eq .name "ray" -}}
{{- fail "worker.gpuPools: ray is the name of the worker of the Ray cluster" -}}
{{- end -}}
{{- end -}}
{{- else if $ray.gpus -}}
{{- fail "ray.gpus: set ray.address or ray.cluster.enabled as well" -}}
{{- end -}}
{{- if $ray.cluster.enabled -}}
{{- $names := dict "head" true -}}
{{- $gpus := 0 -}}
{{- range $ray.cluster.groups -}}
{{- if hasKey $names .name -}}
{{- fail (printf "ray.cluster.groups: the name %s appears twice, or is the name of the head" .name) -}}
{{- end -}}
{{- $_ := set $names .name true -}}
{{- $gpus = add $gpus (mul (.replicas | default 1) (max (dig "gpu" "count" 1 .) 1)) -}}
{{- end -}}
{{- if gt (int $ray.gpus) (int $gpus) -}}
{{- fail (printf "ray.gpus: a training uses %d, but ray.cluster.groups has %d" (int $ray.gpus) (int $gpus)) -}}
{{- end -}}
{{- end -}}
{{- end }}
