{{/* Secret with the certificate of a part (api, inference, valkey), empty without TLS: dict root, part. */}}
{{- define "finetuned.tlsSecret" -}}
{{- $own := (get .root.Values .part).tls.existingSecret -}}
{{- $manager := .root.Values.certManager -}}
{{- if $own -}}{{ $own }}
{{- else if and $manager.issuerRef (has .part $manager.parts) (or (ne .part "valkey") (eq .root.Values.redis.type "bundled")) -}}
{{ include "finetuned.fullname" .root }}-{{ .part }}-tls
{{- end -}}
{{- end }}

{{/* Secret with the certificates that all processes trust: of the operator, or of the issuer, which signs them. */}}
{{- define "finetuned.caSecret" -}}
{{- $found := .Values.caCertificates.existingSecret -}}
{{- if .Values.certManager.issuerRef -}}
{{- range .Values.certManager.parts -}}
{{- $found = $found | default (include "finetuned.tlsSecret" (dict "root" $ "part" .)) -}}
{{- end -}}
{{- end -}}
{{- $found -}}
{{- end }}

{{/* Names of the Services of a part, and of the part itself, because there may be no engine: dict root, part. */}}
{{- define "finetuned.tlsNames" -}}
{{- $root := .root -}}
{{- $names := list -}}
{{- if eq .part "inference" -}}
{{- range include "finetuned.served" $root | fromYamlArray -}}
{{- $names = append $names (include "finetuned.engineName" (dict "root" $root "model" .)) -}}
{{- end -}}
{{- end -}}
{{- $names = append $names (printf "%s-%s" (include "finetuned.fullname" $root) .part) -}}
{{- range $names }}
- {{ . }}.{{ $root.Release.Namespace }}.svc.{{ $root.Values.clusterDomain }}
- {{ . }}.{{ $root.Release.Namespace }}.svc
- {{ . }}
{{- end -}}
{{- end }}

{{/* The volume and the mount of the certificate of a part, in a file of each Secret's key: dict root, part. */}}
{{- define "finetuned.tlsVolume" -}}
{{- with include "finetuned.tlsSecret" . }}
- name: tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end -}}
{{- end }}

{{- define "finetuned.tlsMount" -}}
{{- if include "finetuned.tlsSecret" . }}
- {name: tls, mountPath: /etc/finetuned-tls, readOnly: true}
{{- end -}}
{{- end }}

{{- define "finetuned.checkTls" -}}
{{- range list "inference" "valkey" -}}
{{- if and (include "finetuned.tlsSecret" (dict "root" $ "part" .)) (not (include "finetuned.caSecret" $)) -}}
{{- fail (printf "caCertificates.existingSecret: the certificate of %s.tls is verified, so name the Secret with its CA" .) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.valkey.tls.existingSecret (ne .Values.redis.type "bundled") -}}
{{- fail "valkey.tls.existingSecret: redis.type is external, so use a rediss:// URL instead" -}}
{{- end -}}
{{- end }}
