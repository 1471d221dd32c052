"""Examples for the help of commands whose modules bring none: several small commands of a kind share a module."""

from __future__ import annotations

_TEXTS = """
create clusterrole: kubectl create clusterrole pod-reader --verb=get,list,watch --resource=pods
create clusterrole: kubectl create clusterrole monitoring --aggregation-rule="example.com/monitoring=true"
create clusterrolebinding: kubectl create clusterrolebinding ops --clusterrole=cluster-admin --user=jane --group=ops
create configmap: kubectl create configmap settings --from-file=conf.d --from-literal=level=debug
create cronjob: kubectl create cronjob nightly --image=busybox --schedule="0 3 * * *" -- date
create deployment: kubectl create deployment web --image=nginx --replicas=3 --port=80
create ingress: kubectl create ingress web --rule="web.example.com/*=web:80,tls=web-cert"
create job: kubectl create job once --image=busybox -- date
create job: kubectl create job now --from=cronjob/nightly
create namespace: kubectl create namespace team-a
create poddisruptionbudget: kubectl create poddisruptionbudget web --selector=app=web --min-available=50%
create pdb: kubectl create pdb web --selector=app=web --max-unavailable=1
create priorityclass: kubectl create priorityclass high --value=1000 --description="goes first"
create quota: kubectl create quota team-a --hard=cpu=10,memory=20Gi,pods=50
create role: kubectl create role pod-reader --verb=get,list --resource=pods,pods/log
create rolebinding: kubectl create rolebinding readers --role=pod-reader --serviceaccount=team-a:default
create secret docker-registry: kubectl create secret docker-registry pull --docker-username=me --docker-password=secret
create secret generic: kubectl create secret generic login --from-literal=password=secret --from-file=key=id_ed25519
create secret tls: kubectl create secret tls web-cert --cert=web.crt --key=web.key
create service clusterip: kubectl create service clusterip web --tcp=80:8080
create service externalname: kubectl create service externalname db --external-name=db.example.com
create service loadbalancer: kubectl create service loadbalancer web --tcp=443:8443
create service nodeport: kubectl create service nodeport web --tcp=80:8080 --node-port=30080
create serviceaccount: kubectl create serviceaccount builder
create token: kubectl create token builder --duration=10m --audience=https://vault.example.com
set env: kubectl set env deployment/web LEVEL=debug OLD-
set env: kubectl set env --from=configmap/settings --prefix=APP_ deployment/web
set image: kubectl set image deployment/web web=nginx:1.29
set resources: kubectl set resources deployment/web --requests=cpu=100m --limits=memory=256Mi
set selector: kubectl set selector service web app=web,track=stable
set serviceaccount: kubectl set serviceaccount deployment web builder
set subject: kubectl set subject rolebinding readers --user=jane --serviceaccount=team-a:builder
edit: kubectl edit deployment/web
edit: KUBE_EDITOR=nano kubectl edit configmap/settings -o json
rollout history: kubectl rollout history deployment/web --revision=2
rollout pause: kubectl rollout pause deployment/web
rollout restart: kubectl rollout restart deployment/web daemonset/agent
rollout resume: kubectl rollout resume deployment/web
rollout status: kubectl rollout status deployment/web --timeout=2m
rollout undo: kubectl rollout undo deployment/web --to-revision=2
autoscale: kubectl autoscale deployment web --min=2 --max=10 --cpu=80%
certificate approve: kubectl certificate approve jane
certificate deny: kubectl certificate deny jane
cluster-info: kubectl cluster-info
cluster-info dump: kubectl cluster-info dump --all-namespaces --output-directory=dump
top node: kubectl top node --sort-by=memory
top pod: kubectl top pod -n kube-system --containers
cordon: kubectl cordon node-1
uncordon: kubectl uncordon node-1
taint: kubectl taint node node-1 dedicated=gpu:NoSchedule
taint: kubectl taint node node-1 dedicated-
describe: kubectl describe pod/web-0
describe: kubectl describe nodes -l zone=a
attach: kubectl attach -it web-0 -c shell
auth can-i: kubectl auth can-i create pods --namespace team-a --as jane
auth can-i: kubectl auth can-i --list
auth reconcile: kubectl auth reconcile -f rbac.yaml
auth whoami: kubectl auth whoami
events: kubectl events --for pod/web-0 --watch
events: kubectl events -A --types=Warning
apply view-last-applied: kubectl apply view-last-applied deployment/web
apply edit-last-applied: kubectl apply edit-last-applied deployment/web
apply set-last-applied: kubectl apply set-last-applied -f web.yaml --create-annotation
replace: kubectl replace -f web.yaml
replace: kubectl get pod web -o yaml | sed 's/1.28/1.29/' | kubectl replace --force -f -
api-resources: kubectl api-resources --namespaced=true --verbs=list -o name
api-versions: kubectl api-versions
config current-context: kubectl config current-context
config delete-cluster: kubectl config delete-cluster old
config delete-context: kubectl config delete-context old
config delete-user: kubectl config delete-user old
config get-clusters: kubectl config get-clusters
config get-contexts: kubectl config get-contexts -o name
config get-users: kubectl config get-users
config rename-context: kubectl config rename-context old new
config set: kubectl config set clusters.lab.server https://192.0.2.10:6443
config set-cluster: kubectl config set-cluster lab --server=https://192.0.2.10:6443
config set-context: kubectl config set-context --current --namespace=team-a
config set-credentials: kubectl config set-credentials jane --client-certificate=jane.crt --client-key=jane.key
config unset: kubectl config unset contexts.lab.namespace
config use-context: kubectl config use-context lab
config view: kubectl config view --minify --flatten
kuberc view: kubectl kuberc view
kuberc set: kubectl kuberc set --section=defaults --command=get --option=output=wide
plugin list: kubectl plugin list
version: kubectl version -o yaml
"""


def of(path: list[str]) -> list[str]:
    """The examples of a command, given by its words."""
    name = " ".join(path) + ": "
    return [line.removeprefix(name) for line in _TEXTS.strip().splitlines() if line.startswith(name)]
