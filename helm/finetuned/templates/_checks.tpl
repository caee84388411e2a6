{{/* A pod of `doctor --kubernetes`: dict root, image, expected, env, gpu, claim (a volume to write). */}}
{{- define "finetuned.checksPod" }}
{{- /* Before the installation, no issuer has signed a certificate. */}}
{{- $ca := or (ne (.hook | default "") "pre-install") (ne .root.Values.caCertificates.existingSecret "") }}
spec:
  restartPolicy: Never
  containers:
    - name: checks
      image: {{ include "finetuned.image" (dict "root" .root "which" .image) }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: [doctor, --kubernetes, {{ toJson .expected | quote }}]
      {{- with .env }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- include "finetuned.resources" (dict "gpu" .gpu "resources" (dict "requests" (dict "cpu" "100m" "memory" "256Mi") "limits" (dict "memory" "1Gi"))) | nindent 6 }}
      volumeMounts:
        {{- with $ca | ternary (include "finetuned.caMount" .root) "" }}
        {{- . | nindent 8 }}
        {{- end }}
        - {name: tmp, mountPath: /tmp}
        {{- if .claim }}
        - {name: storage, mountPath: /var/lib/finetuned-storage}
        {{- end }}
  volumes:
    {{- with $ca | ternary (include "finetuned.caVolume" .root) "" }}
    {{- . | nindent 4 }}
    {{- end }}
    - {name: tmp, emptyDir: {sizeLimit: 100Mi}}
    {{- with .claim }}
    - {name: storage, persistentVolumeClaim: {claimName: {{ . }}}}
    {{- end }}
{{- end }}

{{/* What each of these pods checks. */}}
{{- define "finetuned.expected" -}}
{{- $names := list (printf "kubernetes.default.svc.%s" .Values.clusterDomain) -}}
{{- toJson (dict "chart" .Chart.AppVersion "names" $names) -}}
{{- end }}

{{- define "finetuned.storageClaim" -}}
{{- if eq .Values.storage.type "pvc" -}}
{{ .Values.storage.pvc.existingClaim | default (printf "%s-storage" (include "finetuned.fullname" .)) }}
{{- end -}}
{{- end }}
