#!/bin/bash
# Runs everything on a cluster that the chart was never run on, in about an hour, and writes a report
# without names of hosts, secrets or data:
#
#   scripts/cluster_trial.sh my-values.yaml [NAMESPACE]
#
# Needs kubectl, helm, curl, and the rights to create the namespace, which must not exist. It is deleted
# in the end, unless KEEP is set; volumes that the chart keeps go with it.
set -uo pipefail
chart="$(cd "$(dirname "$0")/.." && pwd)/helm/finetuned"
values=${1:?usage: cluster_trial.sh VALUES [NAMESPACE]}
namespace=${2:-finetuned-trial}
release=trial
report=$PWD/cluster-trial.txt
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
failed=0

k() { kubectl --namespace "$namespace" "$@"; }

# What leaves the cluster: no address, no host of the values, no long word that may be a key.
clean() {
  sed -E -e 's#([0-9]{1,3}\.){3}[0-9]{1,3}#ADDRESS#g' \
    -e 's#([a-z0-9-]+\.)+[a-z]{2,}(:[0-9]+)?(/[A-Za-z0-9._/-]+)?#HOST#g' \
    -e 's#[A-Za-z0-9_+/=-]{32,}#WORD#g' | tail -n 15
}

say() { printf '%s\n' "$*" | tee -a "$report"; }

# step NAME COMMAND…: run it, and report how long it took, and the end of its output if it failed.
step() {
  local name=$1 began=$SECONDS
  shift
  if "$@" >"$work/log" 2>&1; then
    say "ok      $((SECONDS - began)) s  $name"
  else
    failed=$((failed + 1))
    say "FAILED  $((SECONDS - began)) s  $name"
    clean <"$work/log" | sed 's/^/          /' | tee -a "$report"
  fi
}

facts() {
  say "kubernetes $(kubectl version -o json | grep -o '"gitVersion": "[^"]*"' | tail -1 | cut -d'"' -f4)," \
    "$(helm version --short), chart $(helm show chart "$chart" | awk '/^version:/ {print $2}')"
  say "nodes: $(kubectl get nodes -o 'custom-columns=A:.status.nodeInfo.architecture,K:.status.nodeInfo.containerRuntimeVersion,O:.status.nodeInfo.osImage,G:.metadata.labels.nvidia\.com/gpu\.product,N:.status.allocatable.nvidia\.com/gpu' --no-headers | sort | uniq -c | tr -s ' ' | paste -sd';')"
  say "apis: $(kubectl api-versions | grep -E '^(monitoring.coreos|keda|gateway.networking|ray.io|leaderworkerset|security.openshift|kueue|resource.k8s)' | paste -sd' ')"
  say "provisioners: $(kubectl get storageclass -o 'custom-columns=P:.provisioner' --no-headers | sort -u | paste -sd' ')"
}

ready() { k wait --for=condition=Available deployment --all --timeout="${1:-40m}"; }
install() { helm install "$release" "$chart" --namespace "$namespace" -f "$values" --timeout 40m "$@"; }
of() { k get pod -l "app.kubernetes.io/component=$1" -o name; }

tests() { # with the logs of both pods if it fails
  helm test "$release" --namespace "$namespace" --timeout 60m && return
  for pod in "$release-checks" "$release-test"; do k logs "$pod" --tail 40; done
  return 1
}

image() { k get deployment "$release-api" -o 'jsonpath={.spec.template.spec.containers[0].image}'; }

# Ask for the API's health twice a second, from another namespace, while the command runs.
while_it_answers() {
  kubectl run finetuned-trial --namespace default --restart=Never --image="$(image)" --command -- python3 -c "
import time, urllib.request
while True:
    try:
        urllib.request.urlopen('http://$release-api.$namespace/livez', timeout=5)
    except OSError as e:
        print('lost', e, flush=True)
    time.sleep(0.5)" && sleep 20
  "$@"
  local code=$?
  kubectl logs --namespace default finetuned-trial | grep lost && code=1
  kubectl delete pod --namespace default finetuned-trial
  return "$code"
}

restart() { k rollout restart deployment "$1" && k rollout status deployment "$1" --timeout 40m; }
kill_all() { k delete --wait=false --grace-period=0 --force $(of "$1") && sleep 5 && ready; }

scraped() { # each kind of process serves its metrics
  for component in api:9101 worker:9100; do
    k port-forward "$(of "${component%:*}" | head -1)" 19000:"${component#*:}" >/dev/null 2>&1 &
    local forwarding=$!
    sleep 5
    curl -fs localhost:19000/metrics | grep -c ^finetuned_ || return 1
    kill "$forwarding"
  done
}

backed_up() {
  k create job --from="cronjob/$release-backup" backup-now &&
    k wait --for=condition=Complete job/backup-now --timeout 30m
}

denied() { # Redis cannot be reached from another namespace
  kubectl run finetuned-trial --namespace default --rm -i --restart=Never --image="$(image)" --command -- python3 -c "
import socket, sys
try:
    socket.create_connection(('$release-valkey.$namespace', 6379), 5)
except OSError:
    sys.exit()
sys.exit('Redis can be reached from another namespace')"
}

: >"$report"
say "Trial of the chart finetuned, $(date -u +%F)"
if ! kubectl version >"$work/log" 2>&1; then
  say "no cluster: $(clean <"$work/log")"
  exit 1
fi
facts
if kubectl get namespace "$namespace" >/dev/null 2>&1; then
  say "the namespace $namespace exists: choose another one"
  exit 1
fi
step "namespace with the restricted Pod Security Standard" kubectl create -f - <<EOF
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "$namespace",
 "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
EOF
step "install, with the preflight" install --set preflight.enabled=true --set test.fineTune=true
step "all deployments are available" ready
step "helm test, with a training" tests
step "upgrade without changes restarts nothing" bash -c "
before=\$(kubectl -n $namespace get pod -l app.kubernetes.io/instance=$release -o name | grep -v checks | sort)
helm upgrade $release '$chart' -n $namespace -f '$values' >/dev/null && sleep 20
after=\$(kubectl -n $namespace get pod -l app.kubernetes.io/instance=$release -o name | grep -v checks | sort)
[ \"\$before\" = \"\$after\" ] || { diff <(echo \"\$before\") <(echo \"\$after\"); exit 1; }"
step "the api is replaced without a lost request" while_it_answers restart "$release-api"
step "all api processes are killed" kill_all api
step "all workers are killed" kill_all worker
step "all engines are killed, and load again" kill_all inference
[ -z "$(of valkey)" ] || step "Valkey is killed, and loads its data" kill_all valkey
step "metrics" scraped
[ -z "$(of valkey)" ] || step "network policies keep others from Redis" denied
[ -z "$(k get cronjob "$release-backup" -o name 2>/dev/null)" ] || step "a backup" backed_up
step "helm test once more" tests
say "restarts: $(k get pod -o 'jsonpath={range .items[*]}{.metadata.labels.app\.kubernetes\.io/component}={.status.containerStatuses[0].restartCount} {end}')"
[ -n "${KEEP:-}" ] || step "uninstall" bash -c "helm uninstall $release -n $namespace --wait && kubectl delete namespace $namespace"
say "$failed steps failed, after $((SECONDS / 60)) minutes. Please read $(basename "$report") before you send it."
exit $((failed > 0))
