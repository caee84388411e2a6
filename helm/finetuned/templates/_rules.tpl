{{/* Matchers of all series of this release; see the relabelings of the ServiceMonitors. */}}
{{- define "finetuned.matchers" -}}
namespace={{ .Release.Namespace | quote }},release={{ .Release.Name | quote }}
{{- end }}

{{/*
The rules of files/alerts.yaml for this release alone, so that releases do not see one another's series, also in one
namespace: the namespace and release are in every selector and on every rule. With the constants and changes of the
values, and with the times that follow from other values.
*/}}
{{- define "finetuned.rules" -}}
{{- $values := .Values.monitoring.prometheusRule -}}
{{- $text := regexReplaceAll `((?:finetuned[_:]|vllm:)[a-z0-9_:]+)\{` (.Files.Get "files/alerts.yaml") (printf "${1}{%s," (include "finetuned.matchers" .)) | replace ",}" "}" -}}
{{- if $values.runbookUrl -}}
{{- $text = replace "docs/runbook.md#" (printf "%s#" $values.runbookUrl) $text -}}
{{- else -}}
{{- $text = replace "runbook_url: " "runbook: " $text -}}
{{- end -}}
{{- $constants := dict "finetuned:chats:objective" $values.chatsObjective "finetuned:jobs:objective" $values.jobsObjective "finetuned:gpu_hour:price" $values.gpuHourPrice -}}
{{- $changes := merge (dict) (deepCopy $values.alerts) (include "finetuned.derivedAlerts" . | fromYaml) -}}
{{- $idle := include "finetuned.idleEngines" . -}}
{{- $groups := list -}}
{{- $known := list -}}
{{- range $group := (fromYaml $text).groups -}}
{{- $rules := list -}}
{{- range $rule := $group.rules -}}
{{- $change := get $changes ($rule.alert | default "") | default dict -}}
{{- $known = append $known $rule.alert -}}
{{- $_ := set $rule "labels" (merge (dict "namespace" $.Release.Namespace "release" $.Release.Name) (pick $change "severity") $rule.labels) -}}
{{- if hasKey $constants ($rule.record | default "") -}}
{{- $_ := set $rule "expr" (printf "vector(%s)" (include "finetuned.plain" (get $constants $rule.record))) -}}
{{- end -}}
{{- if hasKey $change "threshold" -}}
{{- $_ := set $rule "expr" (regexReplaceAll `[0-9.]+$` $rule.expr (include "finetuned.plain" $change.threshold)) -}}
{{- end -}}
{{- with $change.for -}}{{- $_ := set $rule "for" . -}}{{- end -}}
{{- if and (eq ($rule.alert | default "") "FinetunedEngineDown") $idle -}}
{{- $_ := set $rule "expr" (printf "%s unless %s" $rule.expr $idle) -}}
{{- end -}}
{{- if dig "enabled" true $change -}}{{- $rules = append $rules $rule -}}{{- end -}}
{{- end -}}
{{- $groups = append $groups (dict "name" $group.name "rules" $rules) -}}
{{- end -}}
{{- range $name, $_ := $values.alerts -}}
{{- if not (has $name $known) -}}
{{- fail (printf "monitoring.prometheusRule.alerts: there is no alert %s; docs/runbook.md lists all" $name) -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "groups" $groups) -}}
{{- end }}

{{/* Changes to alerts that follow from other values. */}}
{{- define "finetuned.derivedAlerts" -}}
{{- $backup := .Values.backup -}}
FinetunedEngineDown: {for: {{ add .Values.inference.startupMinutes 5 }}m}
FinetunedBackupMissing: {enabled: {{ $backup.enabled }}, for: {{ int $backup.maxAgeSeconds }}s}
FinetunedBackupOld: {threshold: {{ int $backup.maxAgeSeconds }}}
{{- end }}

{{/* Models without an engine that are not at fault: scaled to zero while nothing waits, or asleep while a job trains. */}}
{{- define "finetuned.idleEngines" -}}
{{- $of := include "finetuned.matchers" . -}}
{{- $zero := list -}}
{{- range include "finetuned.served" . | fromYamlArray -}}
{{- if and (dig "engine" "keda" "enabled" false .) (eq (int (dig "engine" "keda" "minReplicas" 1 .)) 0) -}}
{{- $zero = append $zero (regexQuoteMeta .id) -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.gpuSharing "time-slice" -}}
on() sum(finetuned_worker_jobs_running{ {{- $of -}} }) > 0
{{- else if $zero -}}
on (base_model) sum by (base_model) (finetuned_engine_waiting_requests{ {{- $of }},base_model=~`{{ join "|" $zero }}`}) == 0
{{- end -}}
{{- end }}
