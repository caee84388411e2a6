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

{{/*
A headless Service: arguments as above, plus port, portName, appProtocol (http by default), which tells service meshes
what it is, and leaders, for only the first pod of each group.
*/}}
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
    {{- if .leaders }}
    leaderworkerset.sigs.k8s.io/worker-index: "0"
    {{- end }}
  ports:
    - {name: {{ .portName }}, port: {{ .port }}, targetPort: {{ .portName }}, protocol: TCP, appProtocol: {{ .appProtocol | default "http" }}}
{{- end }}
