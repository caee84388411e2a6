{{/*
The pod template of a workload: arguments as for finetuned.pod and finetuned.selector, and pod, the YAML of what only
this workload has. Adds what all pods have in common, and what the values `pod` add to every pod and to this kind.
*/}}
{{- define "finetuned.podTemplate" -}}
{{- $template := .pod | fromYaml -}}
{{- with $template.Error -}}{{- fail . -}}{{- end -}}
{{- $kind := (.part).pod | default dict -}}
{{- /* Nodes of Ray only compute: they get no secret and no volume that is meant for all processes. */ -}}
{{- $all := ternary (pick .root.Values.pod "labels" "annotations") .root.Values.pod (eq .component "ray") -}}
{{- $metadata := $template.metadata | default dict -}}
{{- $_ := set $metadata "labels" (include "finetuned.podLabels" . | fromYaml) -}}
{{- with merge (dict) ($kind.annotations | default dict) ((.part).podAnnotations | default dict) ($metadata.annotations | default dict) ($all.annotations | default dict) -}}
{{- $_ := set $metadata "annotations" . -}}
{{- end -}}
{{- $spec := merge $template.spec (include "finetuned.pod" . | fromYaml) -}}
{{- range concat ($spec.initContainers | default list) $spec.containers -}}
{{- $_ := set . "securityContext" (include "finetuned.containerSecurity" $ | fromYaml).securityContext -}}
{{- end -}}
{{- $container := first $spec.containers -}}
{{- $extra := dict -}}
{{- range concat ($all.extraEnv | default list) ($kind.extraEnv | default list) -}}{{- $_ := set $extra .name . -}}{{- end -}}
{{- $env := list -}}
{{- range $container.env -}}
{{- $env = append $env (get $extra .name | default .) -}}
{{- $_ := unset $extra .name -}}
{{- end -}}
{{- range $_, $variable := $extra -}}{{- $env = append $env $variable -}}{{- end -}}
{{- with $env -}}{{- $_ := set $container "env" . -}}{{- end -}}
{{- with concat ($container.volumeMounts | default list) ($all.extraVolumeMounts | default list) ($kind.extraVolumeMounts | default list) -}}
{{- $_ := set $container "volumeMounts" . -}}
{{- end -}}
{{- with concat ($spec.volumes | default list) ($all.extraVolumes | default list) ($kind.extraVolumes | default list) -}}
{{- $_ := set $spec "volumes" . -}}
{{- end -}}
{{- include "finetuned.mountImages" (merge (dict "container" $container "spec" $spec) .) -}}
{{- toYaml (dict "metadata" $metadata "spec" $spec) -}}
{{- end }}

{{/*
Adds the images of base models as volumes to a pod that would otherwise copy them, so that a node has each of them once:
arguments as for finetuned.selector, and container, spec.
*/}}
{{- define "finetuned.mountImages" -}}
{{- $models := list -}}
{{- if eq .root.Values.modelStore.type "emptyDir" -}}{{- $models = .root.Values.models -}}{{- end -}}
{{- range $model := $models -}}
{{- $slug := include "finetuned.modelSlug" .id -}}
{{- range $mount := $.container.volumeMounts -}}
{{- if and (eq .name "models") ($model.image).asVolume (or (not $.model) (eq $.model $slug)) -}}
{{- $_ := unset $mount "readOnly" -}}{{- /* the runtime makes the folders below it */ -}}
{{- $name := printf "model-%s" $slug -}}
{{- $image := dict "reference" (include "finetuned.imageRef" (dict "root" $.root "image" $model.image)) "pullPolicy" $.root.Values.image.pullPolicy -}}
{{- $_ := set $.spec "volumes" (append $.spec.volumes (dict "name" $name "image" $image)) -}}
{{- $mount := dict "name" $name "mountPath" $model.path "subPath" (trimPrefix "/" ($model.image.path | default "/model")) "readOnly" true -}}
{{- $_ := set $.container "volumeMounts" (append $.container.volumeMounts $mount) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Whether the platform chooses user and group: OpenShift refuses pods that choose their own. */}}
{{- define "finetuned.isOpenShift" -}}
{{- $given := .Values.compatibility.openshift -}}
{{- if or (eq $given "force") (and (eq $given "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}yes{{- end -}}
{{- end }}

{{/*
Common part of every pod: dict root, component, part (its values: nodeSelector, …), priority (serving,
training or empty). Meets the restricted Pod Security Standard. Service links are off,
because they would add FINETUNED_API_PORT=tcp://… to the settings.
*/}}
{{- define "finetuned.pod" -}}
serviceAccountName: {{ include "finetuned.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with concat .root.Values.global.imagePullSecrets .root.Values.image.pullSecrets | uniq }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- if not (include "finetuned.isOpenShift" .root) }}
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  {{- end }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with include "finetuned.priorityClass" (dict "root" .root "given" .part.priorityClassName "kind" .priority) }}
priorityClassName: {{ . }}
{{- end }}
{{- with ((.part).pod).schedulerName | default .root.Values.pod.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with ((.part).pod).resourceClaims }}
resourceClaims: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with merge (dict) (.part.nodeSelector | default dict) (include "finetuned.gpuNodes" .part | fromYaml) }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Node label with the GPU product, set by NVIDIA's GPU feature discovery. */}}
{{- define "finetuned.gpuNodes" -}}
{{- with (.gpu | default dict).product }}
nvidia.com/gpu.product: {{ . }}
{{- end }}
{{- end }}

{{/* Topology spread over nodes: dict root, component, model, part. */}}
{{- define "finetuned.spread" -}}
topologySpreadConstraints:
{{- if .part.topologySpreadConstraints }}
  {{- toYaml .part.topologySpreadConstraints | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "finetuned.selector" . | nindent 8 }}
{{- end }}
{{- end }}

{{- define "finetuned.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Resource requests and limits including GPUs, unless a claim has them: dict resources, gpu. */}}
{{- define "finetuned.resources" -}}
{{- $resources := deepCopy (.resources | default dict) -}}
{{- $gpu := .gpu | default dict -}}
{{- if and ($gpu.count | default 0 | int) (not $resources.claims) -}}
{{- $limits := merge (dict ($gpu.resource | default "nvidia.com/gpu") ($gpu.count | int)) ($resources.limits | default dict) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- with $resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Pod annotations, which change when the configuration read at startup changes: dict root. */}}
{{- define "finetuned.podAnnotations" -}}
checksum/settings: {{ include "finetuned.settings" .root | sha256sum }}
checksum/secrets: {{ include "finetuned.secretSources" .root | sha256sum }}
{{- end }}

{{/*
Environment sources of all processes, and the secrets that the api, workers and engines need:
dict root, component, env.
*/}}
{{- define "finetuned.envOfAll" -}}
envFrom:
  - configMapRef:
      name: {{ include "finetuned.fullname" .root }}-settings
env:
  {{- include "finetuned.redisEnv" . | nindent 2 }}
  {{- with include "finetuned.storageEnv" . }}
  {{- . | nindent 2 }}
  {{- end }}
  - name: FINETUNED_UPSTREAM_API_KEY
    valueFrom:
      secretKeyRef: {{- include "finetuned.secretRef" (dict "root" .root "source" .root.Values.engineKey "key" "engine-key") | nindent 8 }}
  {{- with .root.Values.encryption.existingSecret }}
  - name: FINETUNED_ENCRYPTION_KEY
    valueFrom:
      secretKeyRef: {name: {{ . }}, key: master-key}
  {{- end }}
  {{- with .env }}
  {{- include "finetuned.env" . | trim | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Writable folder of a process, on the node's disk or a volume: dict name, size, storageClass. */}}
{{- define "finetuned.scratchVolume" -}}
- name: {{ .name }}
  {{- if .storageClass }}
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: {{ .storageClass }}
        resources: {requests: {storage: {{ .size }}}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .size }}}
  {{- end }}
{{- end }}

{{/* The operator's certificates, of which SSL_CERT_FILE names the file, in a container and its pod. */}}
{{- define "finetuned.caMount" -}}
{{- if include "finetuned.caSecret" . -}}
- {name: ca, mountPath: /etc/finetuned-ca, readOnly: true}
{{- end -}}
{{- end }}

{{- define "finetuned.caVolume" -}}
{{- with include "finetuned.caSecret" . -}}
- name: ca
  secret: {secretName: {{ . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end -}}
{{- end }}

{{/* Volumes shared by the api, workers and engines. */}}
{{- define "finetuned.volumes" -}}
{{- with include "finetuned.caVolume" . }}{{ . }}
{{ end -}}
- name: tmp
  emptyDir: {sizeLimit: 10Gi}
- name: catalogue
  configMap:
    name: {{ include "finetuned.fullname" . }}-catalogue
- name: models
  {{- if eq .Values.modelStore.type "emptyDir" }}
  emptyDir: {sizeLimit: {{ .Values.modelStore.size }}}
  {{- else }}
  persistentVolumeClaim:
    claimName: {{ .Values.modelStore.existingClaim | default (printf "%s-models" (include "finetuned.fullname" .)) }}
  {{- end }}
{{- if eq .Values.storage.type "pvc" }}
- name: storage
  persistentVolumeClaim:
    claimName: {{ .Values.storage.pvc.existingClaim | default (printf "%s-storage" (include "finetuned.fullname" .)) }}
{{- end }}
{{- end }}

{{/* Mounts of the shared volumes: dict root, storageReadOnly. */}}
{{- define "finetuned.mounts" -}}
{{- with include "finetuned.caMount" .root }}{{ . }}
{{ end -}}
- {name: tmp, mountPath: /tmp}
- {name: data, mountPath: /var/lib/finetuned}
- {name: catalogue, mountPath: /etc/finetuned, readOnly: true}
- {name: models, mountPath: {{ .root.Values.modelStore.mountPath }}, readOnly: true}
{{- if eq .root.Values.storage.type "pvc" }}
- name: storage
  mountPath: /var/lib/finetuned-storage
  {{- if .storageReadOnly }}
  readOnly: true
  {{- end }}
{{- end }}
{{- end }}

{{/*
Init containers that provide base models: dict root, models, withoutWeights, and serves, for the pod of an engine. Pods
without a shared volume copy them from their images; with one, the engine waits for the job that copies its model.
*/}}
{{- define "finetuned.modelCopies" -}}
{{- $root := .root -}}
{{- $withoutWeights := .withoutWeights -}}
{{- $serves := .serves -}}
{{- range .models }}
{{- if eq $root.Values.modelStore.type "emptyDir" }}
{{- if and .image (not .image.asVolume) }}
{{- include "finetuned.modelCopy" (dict "root" $root "model" . "withoutWeights" $withoutWeights) }}
{{- end }}
{{- else if and $serves (or .image .s3) }}
- name: model
  image: {{ include "finetuned.image" (dict "root" $root "which" "inference") }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  command: [sh, -c]
  args: ['until [ -d "$1" ]; do sleep 2; done', model, {{ .path }}]
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: models, mountPath: {{ $root.Values.modelStore.mountPath }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{/*
A container that copies a base model from its image: dict root, model, withoutWeights. A rename makes the folder
appear atomically. With `asVolume`, the image is a volume of the pod and needs no shell.
*/}}
{{- define "finetuned.modelCopy" }}
{{- $root := .root -}}
{{- $image := .model.image -}}
{{- $from := $image.path | default "/model" -}}
- name: model-{{ include "finetuned.modelSlug" .model.id }}
  {{- if $image.asVolume }}
  image: {{ include "finetuned.image" (dict "root" $root "which" "api") }}
  {{- else }}
  image: {{ include "finetuned.imageRef" (dict "root" $root "image" $image) }}
  {{- end }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  command: [sh, -c]
  args:
    - |
      set -eu
      if [ -d "$2" ]; then exit 0; fi
      part="$2.part-$(hostname)"
      rm -rf "$part"
      mkdir -p "$part"
      {{- if .withoutWeights }}
      for file in "$1"/*.json "$1"/*.jinja; do
        if [ -e "$file" ]; then cp "$file" "$part"/; fi
      done
      {{- else }}
      cp -R "$1"/. "$part"/
      {{- end }}
      mv -T "$part" "$2" || [ -d "$2" ]
      rm -rf "$part"
    - model
    - {{ ternary (printf "/image%s" $from) $from ($image.asVolume | default false) }}
    - {{ .model.path }}
  resources:
    requests: {cpu: 100m, memory: 64Mi}
    limits: {memory: 1Gi}
  volumeMounts:
    - {name: models, mountPath: {{ $root.Values.modelStore.mountPath }}}
    {{- if $image.asVolume }}
    - {name: image, mountPath: /image, readOnly: true}
    {{- end }}
{{- end }}
