{{/* The first part of every object's name. Short, so that a model's or a pool's name fits behind it. */}}
{{- define "finetuned.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 26 | trimSuffix "-" -}}
{{- end }}

{{/* A name for a Service out of a base model's id, which may hold capitals, dots and a slash. */}}
{{- define "finetuned.modelSlug" -}}
{{- $slug := regexReplaceAll "[^a-z0-9]+" (lower .) "-" | trunc 24 | trimSuffix "-" -}}
{{- if eq $slug . -}}{{ $slug }}{{- else -}}{{ $slug }}-{{ sha256sum . | trunc 5 }}{{- end -}}
{{- end }}

{{- define "finetuned.engineName" -}}
{{ include "finetuned.fullname" .root }}-vllm-{{ include "finetuned.modelSlug" .model.id }}
{{- end }}

{{/* Labels that select: dict root, component, and pool or model where there are several. */}}
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

{{/* Labels of an object: as above. */}}
{{- define "finetuned.labels" -}}
{{ include "finetuned.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of a pod: none that another version of the chart would change, or all pods would start anew. */}}
{{- define "finetuned.podLabels" -}}
{{ include "finetuned.selector" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata of an object: dict root, component, name (behind the release's), pool, model. */}}
{{- define "finetuned.metadata" -}}
name: {{ include "finetuned.fullname" .root }}{{ with .name }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "finetuned.labels" . | nindent 2 }}
{{- end }}

{{/* A reference to an image: dict root, image (registry, repository, tag, digest). */}}
{{- define "finetuned.imageRef" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag }}{{ end -}}
{{- end }}

{{/* One of our images: dict root, which (api, worker, inference). */}}
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

{{/* The class that was named, or the one that the chart makes: dict root, given, kind (serving, training). */}}
{{- define "finetuned.priorityClass" -}}
{{- if .given -}}{{ .given }}
{{- else if .root.Values.priorityClasses.create -}}{{ include "finetuned.fullname" .root }}-{{ .kind }}
{{- end -}}
{{- end }}

{{/* A number as it was written: Helm reads 1073741824 as a float and would print 1.073741824e+09. */}}
{{- define "finetuned.plain" -}}
{{- if or (kindIs "map" .) (kindIs "slice" .) -}}{{ toJson . }}
{{- else if kindIs "float64" . -}}
{{- if eq (floor .) . -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- else -}}{{ . }}
{{- end -}}
{{- end }}

{{/* Variables of a container out of a map. */}}
{{- define "finetuned.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "finetuned.plain" $value | quote }}
{{- end }}
{{- end }}
