{{/*
Scales the workers of a pool from minReplicas to maxReplicas: one per queued or running job. Every worker
reports the same numbers, so the maximum is used.
*/}}
{{- define "finetuned.scaledWorker" }}
{{- $keda := .part.keda }}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{- include "finetuned.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {name: {{ include "finetuned.fullname" .root }}-{{ .name }}}
  minReplicaCount: {{ $keda.minReplicas | default 0 }}
  maxReplicaCount: {{ $keda.maxReplicas }}
  pollingInterval: {{ .root.Values.keda.pollingInterval }}
  cooldownPeriod: {{ $keda.cooldownSeconds | default 300 }}
  triggers:
    {{- $query := printf "sum(max by (status) (finetuned_jobs_unfinished{namespace=%q,status=~\"queued|running\"}))" .root.Release.Namespace }}
    {{- include "finetuned.trigger" (dict "root" .root "query" $query "threshold" 1) | nindent 4 }}
{{- end }}

{{/* Scales the engines of a model by the requests waiting in them. */}}
{{- define "finetuned.scaledEngine" }}
{{- $keda := .part.keda }}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{- include "finetuned.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {name: {{ include "finetuned.fullname" .root }}-{{ .name }}}
  minReplicaCount: {{ $keda.minReplicas | default 1 }}
  maxReplicaCount: {{ $keda.maxReplicas }}
  pollingInterval: {{ .root.Values.keda.pollingInterval }}
  cooldownPeriod: {{ $keda.cooldownSeconds | default 300 }}
  triggers:
    {{- $waiting := printf "sum(vllm:num_requests_waiting{namespace=%q,model_name=%q})" .root.Release.Namespace .id }}
    {{- include "finetuned.trigger" (dict "root" .root "query" $waiting "threshold" ($keda.waitingRequests | default 4)) | nindent 4 }}
{{- end }}

{{- define "finetuned.trigger" -}}
- type: prometheus
  metadata:
    serverAddress: {{ .root.Values.keda.prometheus }}
    query: {{ .query | quote }}
    threshold: {{ .threshold | quote }}
  {{- with .root.Values.keda.authenticationRef }}
  authenticationRef: {name: {{ . }}}
  {{- end }}
{{- end }}
