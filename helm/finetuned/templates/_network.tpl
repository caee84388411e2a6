{{/* Pods of a component, as a peer of a NetworkPolicy: dict root, component. */}}
{{- define "finetuned.peer" -}}
- podSelector:
    matchLabels: {{- include "finetuned.selector" . | nindent 6 }}
{{- end }}

{{/* Ingress rule for Prometheus to scrape metrics: dict root, port. */}}
{{- define "finetuned.scraped" -}}
{{- if and .root.Values.monitoring.serviceMonitor.enabled .root.Values.networkPolicy.metricsFrom -}}
- from: {{- toYaml .root.Values.networkPolicy.metricsFrom | nindent 4 }}
  ports: [{port: {{ .port }}, protocol: TCP}]
{{- end -}}
{{- end }}

{{- define "finetuned.egressDns" -}}
- to: {{- toYaml .Values.networkPolicy.dns.to | nindent 4 }}
  ports:
    {{- range .Values.networkPolicy.dns.ports }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}

{{- define "finetuned.egressRedis" -}}
{{- if eq .Values.redis.type "bundled" -}}
- to:
    {{- include "finetuned.peer" (dict "root" . "component" "valkey") | nindent 4 }}
  ports: [{port: 6379, protocol: TCP}]
{{- else -}}
{{ toYaml .Values.networkPolicy.redisEgress }}
{{- end -}}
{{- end }}

{{- define "finetuned.egressEngines" -}}
- to:
    {{- include "finetuned.peer" (dict "root" . "component" "inference") | nindent 4 }}
  ports: [{port: {{ .Values.inference.port }}, protocol: TCP}]
{{- end }}

{{/* Egress that the api, workers and engines need: DNS, Redis and storage. */}}
{{- define "finetuned.egressOfAll" -}}
{{ include "finetuned.egressDns" . }}
{{ include "finetuned.egressRedis" . }}
{{- if eq .Values.storage.type "s3" }}
{{ toYaml .Values.networkPolicy.storageEgress }}
{{- end }}
{{- end }}
