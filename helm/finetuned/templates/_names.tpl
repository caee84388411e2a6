{{/* Prefix of every object's name. Kept short so that a model's or a pool's name fits after it. */}}
{{- define "finetuned.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 26 | trimSuffix "-" -}}
{{- end }}

{{/* Service name derived from a base model's id, which can contain capitals, dots and a slash. */}}
{{- define "finetuned.modelSlug" -}}
{{- $slug := regexReplaceAll "[^a-z0-9]+" (lower .) "-" | trunc 24 | trimSuffix "-" -}}
{{- if eq $slug . -}}{{ $slug }}{{- else -}}{{ $slug }}-{{ sha256sum . | trunc 5 }}{{- end -}}
{{- end }}

{{- define "finetuned.engineName" -}}
{{ include "finetuned.fullname" .root }}-vllm-{{ include "finetuned.modelSlug" .model.id }}
{{- end }}

{{/* Selector labels: dict root, component, and pool or model if there are several. */}}
{{- define "finetuned.selector" -}}
app.kubernetes.io/name: finetuned
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .pool }}
finetuned/pool: {{ . }}
{{- end }}
{{- with .model }}
finetuned/model: {{ . }}
{{- end }}
{{- end }}

{{/* Labels of an object: arguments as above. */}}
{{- define "finetuned.labels" -}}
{{ include "finetuned.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of a pod, without those that change with the chart version, which would restart all pods. */}}
{{- define "finetuned.podLabels" -}}
{{ merge (include "finetuned.selector" . | fromYaml) (((.part).pod).labels | default dict) (.root.Values.pod.labels | default dict) .root.Values.commonLabels | toYaml }}
{{- end }}

{{/* Metadata of an object: dict root, component, name (suffix after the release's), pool, model. */}}
{{- define "finetuned.metadata" -}}
name: {{ include "finetuned.fullname" .root }}{{ with .name }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "finetuned.labels" . | nindent 2 }}
{{- end }}

{{/* Image reference: dict root, image (registry, repository, tag, digest). */}}
{{- define "finetuned.imageRef" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag }}{{ end -}}
{{- end }}

{{/* Reference to one of our images: dict root, which (api, worker, inference). */}}
{{- define "finetuned.image" -}}
{{- $image := .root.Values.image -}}
{{- include "finetuned.imageRef" (dict "root" .root "image" (dict
      "registry" $image.registry
      "repository" (get $image.names .which)
      "tag" ($image.tag | default .root.Chart.AppVersion)
      "digest" (get $image.digests .which))) -}}
{{- end }}

{{- define "finetuned.serviceAccountName" -}}
{{- if .root.Values.serviceAccount.create -}}
{{ include "finetuned.fullname" .root }}-{{ .component }}
{{- else -}}
{{ .root.Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{/* Priority class given in the values, or the one that the chart creates: dict root, given, kind (serving, training or empty). */}}
{{- define "finetuned.priorityClass" -}}
{{- if .given -}}{{ .given }}
{{- else if and .kind .root.Values.priorityClasses.create -}}{{ .root.Release.Namespace }}-{{ include "finetuned.fullname" .root }}-{{ .kind }}
{{- end -}}
{{- end }}

{{/* A number as written in the values: Helm parses 1073741824 as a float and would print 1.073741824e+09. */}}
{{- define "finetuned.plain" -}}
{{- if or (kindIs "map" .) (kindIs "slice" .) -}}{{ toJson . }}
{{- else if kindIs "float64" . -}}
{{- if eq (floor .) . -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- else -}}{{ . }}
{{- end -}}
{{- end }}

{{/*
A map over its defaults, as YAML: dict base, over. What is missing in `gpu` keeps its default; other maps are replaced,
because a default request may exceed a given limit. Unlike merge, it keeps a zero.
*/}}
{{- define "finetuned.overlay" -}}
{{- $all := deepCopy .base -}}
{{- range $key, $value := .over -}}
{{- if and (eq $key "gpu") (kindIs "map" (get $all $key)) -}}
{{- $value = include "finetuned.overlay" (dict "base" (get $all $key) "over" $value) | fromYaml -}}
{{- end -}}
{{- $_ := set $all $key $value -}}
{{- end -}}
{{- toYaml $all -}}
{{- end }}

{{/* Environment variables of a container, from a map. */}}
{{- define "finetuned.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "finetuned.plain" $value | quote }}
{{- end }}
{{- end }}
