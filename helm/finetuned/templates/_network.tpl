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

{{/*
Services outside, as a YAML list: the value of networkPolicy with the rules, what they lead to, an example of a port, and
whether other values need them. With a policy, the rules are for these components; the others have policies of their own.
*/}}
{{- define "finetuned.outside" -}}
{{- $v := .Values -}}
{{- $keys := hasPrefix "https://" (toString $v.settings.OIDC_JWKS) -}}
{{- $traces := regexMatch "OTEL_EXPORTER_OTLP[A-Z_]*ENDPOINT" (toJson $v) -}}
- {value: oidcEgress, to: the identity provider, port: 443, needed: {{ or $keys (ne $v.identityProvider.clientId "") }}, policy: oidc, components: [api]}
- {value: vaultEgress, to: Vault, port: 8200, needed: {{ hasKey $v.settings "ENCRYPTION_VAULT_ADDRESS" }}, policy: vault, components: [api, worker, inference, audit-export]}
- {value: otlpEgress, to: the collector of traces, port: 4318, needed: {{ $traces }}, policy: otlp, components: [api, worker, inference]}
- {value: webhookEgress, to: the receivers of webhooks, port: 443, needed: {{ not (empty $v.webhooks.allowedHosts) }}, policy: webhooks, components: [worker], cpu: true}
- {value: mlflowEgress, to: the MLflow servers, port: 443, needed: {{ not (empty $v.mlflow.trackingUris) }}, policy: mlflow, components: [worker], cpu: true}
- {value: witnessEgress, to: the witness, port: 443, needed: {{ ne $v.audit.witness.url "" }}, policy: witness, components: [worker], cpu: true}
- {value: auditExportEgress, to: the collector, port: 4318, needed: {{ $v.audit.export.enabled }}}
- {value: redisEgress, to: the external Redis, port: 6379, needed: {{ eq $v.redis.type "external" }}}
- {value: storageEgress, to: S3, port: 443, needed: {{ eq $v.storage.type "s3" }}}
- {value: rayEgress, to: the Ray cluster, port: 10001, needed: {{ ne $v.ray.address "" }}}
- {value: backupEgress, to: the S3 of backups, port: 443, needed: {{ and $v.backup.enabled (eq $v.backup.type "s3") (ne $v.backup.s3.existingSecret "") }}}
{{- end }}

{{- define "finetuned.egressDns" -}}
{{- $dns := .Values.networkPolicy.dns -}}
{{- $provider := $dns.provider -}}
{{- if eq $provider "auto" -}}
{{- $provider = ternary "openshift" "kube-dns" (ne (include "finetuned.isOpenShift" .) "") -}}
{{- end -}}
{{- $namespace := ternary "openshift-dns" "kube-system" (eq $provider "openshift") -}}
{{- $to := list (dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" $namespace))) -}}
{{- if eq $provider "nodelocal" -}}
{{- $to = append $to (dict "ipBlock" (dict "cidr" "169.254.20.10/32")) -}}
{{- end -}}
- to: {{- toYaml ($dns.to | default $to) | nindent 4 }}
  ports:
    {{- range $dns.ports | default (list (ternary 5353 53 (eq $provider "openshift"))) }}
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
