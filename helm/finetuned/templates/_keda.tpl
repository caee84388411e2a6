{{/*
Scales the workers of a pool from minReplicas to maxReplicas: one per queued or running job. Every worker
reports the same numbers, so the maximum is used.
*/}}
{{- define "finetuned.scaledWorker" }}
{{- $query := printf "sum(max by (status) (finetuned_jobs_unfinished{%s,status=~\"queued|running\"}))" (include "finetuned.matchers" .root) }}
{{- include "finetuned.scaled" (merge (dict "least" (dig "minReplicas" 0 .part.keda) "query" $query) .) }}
{{- end }}

{{/*
Scales the engines of a model by the requests that wait for them in the api and in workers: to those that serve, and one
more for each `waitingRequests`. While none waits, to as many as the requests in progress need.
*/}}
{{- define "finetuned.scaledEngine" }}
{{- $keda := .part.keda }}
{{- $of := include "finetuned.matchers" .root }}
{{- $waiting := printf "sum(finetuned_engine_waiting_requests{%s,base_model=%q})" $of .id }}
{{- $running := printf "vllm:num_requests_running{%s,model_name=%q}" $of .id }}
{{- $slots := int (dig "ENGINE_REQUESTS_AT_ONCE" 256 .root.Values.settings) }}
{{- $query := printf "(%s > 0) / %d + (count(%s) or vector(0)) or sum(%s) / %d or vector(0)" $waiting (int (dig "waitingRequests" 4 $keda)) $running $running $slots }}
{{- include "finetuned.scaled" (merge (dict "least" (dig "minReplicas" 1 $keda) "query" $query) .) }}
{{- end }}

{{/*
A ScaledObject whose query gives the number of pods: arguments as for finetuned.metadata, part, and least, query.
cooldownPeriod only delays the step from one pod to none.
*/}}
{{- define "finetuned.scaled" }}
{{- $keda := .part.keda }}
{{- $cooldown := dig "cooldownSeconds" 300 $keda | int }}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{- include "finetuned.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {name: {{ include "finetuned.fullname" .root }}-{{ .name }}}
  minReplicaCount: {{ .least }}
  maxReplicaCount: {{ $keda.maxReplicas }}
  pollingInterval: {{ .root.Values.keda.pollingInterval }}
  cooldownPeriod: {{ $cooldown }}
  # Without Prometheus, what is there stays.
  fallback: {failureThreshold: 3, replicas: {{ max (int .least) 1 }}, behavior: currentReplicasIfHigher}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp: {stabilizationWindowSeconds: 0}
        scaleDown:
          stabilizationWindowSeconds: {{ min $cooldown 3600 }}
          policies: [{type: Pods, value: 1, periodSeconds: 60}]
  triggers:
    - type: prometheus
      metadata:
        serverAddress: {{ .root.Values.keda.prometheus }}
        query: {{ .query | quote }}
        threshold: "1"
      {{- with .root.Values.keda.authenticationRef }}
      authenticationRef: {name: {{ . }}}
      {{- end }}
{{- end }}
