{{/* Limits voluntary disruption to one pod at a time; a node with a single replica can still be drained. */}}
{{- define "finetuned.budget" }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- include "finetuned.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "finetuned.selector" . | nindent 6 }}
{{- end }}

{{/* A headless Service for scraping: arguments as above, plus port. */}}
{{- define "finetuned.headless" }}
apiVersion: v1
kind: Service
metadata: {{- include "finetuned.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  {{- if .publishNotReady }}
  publishNotReadyAddresses: true
  {{- end }}
  selector: {{- include "finetuned.selector" . | nindent 4 }}
  ports:
    - {name: {{ .portName }}, port: {{ .port }}, targetPort: {{ .portName }}, protocol: TCP}
{{- end }}
