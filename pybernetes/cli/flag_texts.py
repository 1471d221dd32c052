"""What each flag does, in a line, for the help of commands.

Most flags mean the same wherever they are, so they are described once, by name; `COMMAND NAME` describes one that means
something else in one command. A flag without a text is a mistake, and a test finds it.
"""

from __future__ import annotations

_TEXTS = """
accept-hosts=Regular expression for hosts that the proxy accepts
accept-paths=Regular expression for paths that the proxy accepts
address=Addresses to listen on, by comma: only the loopback address unless others are given
aggregation-rule=Label selector (KEY=VALUE) of cluster roles whose rules this one gathers; repeatable
all=All objects of the named kinds in the namespace
all-containers=The logs of all containers of the Pods
all-namespaces=Objects of all namespaces, whatever --namespace says
all-pods=The logs of all Pods of the object, each line prefixed with its Pod
allow-missing-template-keys=In Go templates and JSONPath, print nothing for a field that is missing instead of failing
allowlist-entry=An entry (NAME=COMMAND) of the list of credential plugins that may run; repeatable
annotation=Annotation (KEY=VALUE) to put on the Ingress; repeatable
annotations=Annotations (KEY=VALUE) to put on the Pod; repeatable
api-group=Only resources of this API group
api-prefix=Below which path the API is served
api-version=Describe the resource as it is in this version of its API (GROUP/VERSION)
append-hash=Append a hash of the content to the name
append-server-path=Put the server's path before the paths of requests
appendarg=Argument to add after the user's own; repeatable
applyset=Name, or RESOURCE/NAME, of the object that knows what belongs together; only with --prune (alpha)
arguments-only=What follows -- are arguments of the image's own command, not another command
as-current-user=Run containers of plugins as the current user
attach=Attach to the container as soon as it runs
audience=Whom the token is for; repeatable
auth-provider=Name of an authentication provider for the user
auth-provider-arg=Argument (KEY=VALUE) of the authentication provider
bound-object-kind=Kind of the object whose end ends the token: Pod, Secret or Node
bound-object-name=Name of the object whose end ends the token
bound-object-uid=UID of the object whose end ends the token
cached=Show what is remembered of an earlier discovery, if anything is
cascade=What happens to dependent objects: background, foreground or orphan
categories=Only resources of these categories
cert=Path of a certificate in PEM
certificate-authority=Path of a certificate authority's certificate
chunk-size=Ask for lists in pieces of so many objects; 0: all at once
class=IngressClass of the Ingress
client=Show the client's version only, without asking a server
client-certificate=Path of a client certificate
client-key=Path of the client certificate's key
cluster=Cluster of the kubeconfig
cluster-ip=Address of the Service; empty: one is chosen; None: the Service is headless
clusterip=Address of the Service; None: it is headless
clusterrole=ClusterRole that is granted
command=What follows -- is the container's command, not its arguments
kuberc set command=Command that the entry is about
concurrency=How many objects are compared at a time
container=Container of the Pod; the annotated or the first one if it is left out
containers=Names of containers; patterns are allowed
debug container=Name of the new container
top pod containers=Show each container
copy-to=Make a copy of the Pod with this name and debug that
cpu=CPU use to aim at: a percentage of the request, or an amount
cpu-percent=Average CPU use, in percent of the request, to aim at
create-annotation=Make the annotation if the object has none
current=Change the current context
current-replicas=Only if the object has so many replicas now; -1: however many
custom=File with parts of a container, which go into the new one
default-backend=Service (SERVICE:PORT) for requests that no rule is for
delete-emptydir-data=Go on although Pods with emptyDir volumes lose their data
description=What the class is for
detach-keys=Keys that leave the session while it goes on; nothing: none do
disable-eviction=Delete Pods instead of evicting them, without regard for disruption budgets
disable-filter=Let every request pass: dangerous where others can reach the proxy
docker-email=E-mail address for the registry
docker-password=Password for the registry
docker-server=Registry
docker-username=User of the registry
dry-run=none: really do it; client: only show what would be sent; server: send it, and nothing is stored
duration=How long the token is to be good, such as 10m or 1h
edit=Edit the object before it is made
embed-certs=Put the content of certificates into the kubeconfig instead of their paths
enable-alpha-plugins=Allow plugins of kustomize
enable-helm=Allow Helm charts in kustomizations
env=Environment variable (NAME=VALUE); repeatable
exec-api-version=API version of the credential plugin
exec-arg=Argument of the credential plugin; repeatable
exec-command=Command of the credential plugin
exec-env=Environment variable (NAME=VALUE) of the credential plugin; repeatable
exec-interactive-mode=Whether the credential plugin reads standard input: Never, IfAvailable or Always
exec-provide-cluster-info=Tell the credential plugin of the cluster
expose=Make a Service for the Pod as well; needs --port
external-ip=Another address at which nodes accept the Service's traffic
external-name=DNS name that the Service stands for
field-manager=Name under which the changed fields are recorded
field-selector=Select objects by fields: KEY=VALUE or KEY!=VALUE, by comma
filename=File, directory or URL with objects; - is standard input; repeatable
flatten=Put the content of files into the output, so that it can be used elsewhere
follow=Go on with what is logged from now on
for=What to wait for: create, delete, condition=NAME[=VALUE] or jsonpath='{PATH}'[=VALUE]; repeatable
events for=Only events about this object (TYPE/NAME)
force=Do it although something speaks against it; of deletion: at once, without waiting for the node's word
drain force=Go on although Pods are there that no controller would make anew
certificate approve force=Approve again what is approved already
certificate deny force=Deny again what is denied already
replace force=Delete the object and make it anew
force-conflicts=With --server-side, take fields over that others manage
from=CronJob whose template the Job is made from (cronjob/NAME)
set env from=ConfigMap or Secret (TYPE/NAME) whose keys become variables
from-env-file=File of lines KEY=VALUE; repeatable
from-file=File, or [KEY=]FILE, or a directory whose files become keys; repeatable
from-literal=KEY=VALUE; repeatable
global-default=Pods without a class get this one
grace-period=Seconds that Pods have to end; -1: their own; 1: soon; 0: at once, only with --force
group=Group; repeatable
hard=Limits (RESOURCE=AMOUNT) by comma
helm-api-versions=API versions that Helm is told of
helm-command=Command of Helm
helm-debug=Let Helm tell what it does
helm-kube-version=Version of Kubernetes that Helm is told
ignore-daemonsets=Leave Pods of DaemonSets where they are
ignore-errors=Go on with the other logs when one cannot be read
ignore-not-found=It is no error if an object does not exist
image=Image of the container
image-pull-policy=When the image is pulled: Always, IfNotPresent or Never
insecure-skip-tls-verify=Accept any certificate of the server; the connection can be listened to
insecure-skip-tls-verify-backend=Accept any certificate of the kubelet that the logs come from
interactive=Ask before each deletion
keep-annotations=Leave the annotations of the Pod in its copy
keep-init-containers=Leave the init containers of the Pod in its copy
keep-labels=Leave the labels of the Pod in its copy
keep-liveness=Leave the liveness probes of the Pod in its copy
keep-readiness=Leave the readiness probes of the Pod in its copy
keep-startup=Leave the startup probes of the Pod in its copy
keepalive=How often a connection is probed; 0s: never
key=Path of the key in PEM
keys=Only these keys of --from, by comma
kustomize=Directory of a kustomization
label-columns=Labels to show as columns, by comma
labels=Labels (KEY=VALUE), by comma
leave-stdin-open=Leave standard input open after the first session
limit-bytes=At most so many bytes of a log; 0: all
limits=Limits (RESOURCE=AMOUNT), by comma
list=Show what there is instead of changing it
auth can-i list=Show all that is allowed in the namespace
load-balancer-ip=Address that the load balancer is to have
load-restrictor=LoadRestrictionsNone lets kustomizations read files outside of their directory
local=Change what the files hold and print it; no server is asked
max=Most replicas
max-log-requests=At most so many logs at a time with -l
max-unavailable=How many Pods may be missing, as a number or a percentage
memory=Memory use to aim at: a percentage of the request, or an amount
merge=Merge all kubeconfig files
min=Fewest replicas; -1: the server's default
min-available=How many Pods must be there, as a number or a percentage
minify=Only what the current context uses
mount=Volume of containers of plugins
name=Name of the new object
kuberc set name=Name of the alias
name-only=Only the names of plugins, without their paths
namespaced=Whether the resources are in namespaces
namespaces=Namespaces to dump, by comma
network=Let containers of plugins use the network
network-name=Network of containers of plugins
no-headers=Without the line of headers
no-preserve=Do not keep owners and permissions of files
node-port=Port of the nodes for the Service; 0: one is chosen
non-resource-url=URL that is no resource; repeatable
now=Let Pods end soon, as with --grace-period=1
openapi-patch=Use the server's schemas for the difference
option=Flag and its value (FLAG=VALUE) to be preset; repeatable
output=Format: json, yaml, kyaml, name, wide, go-template=..., jsonpath=..., custom-columns=... and their -file forms
output-directory=Where the files go; - or nothing: standard output
output-patch=Show the patch
output-watch-events=Show whether objects were added, modified or deleted
override-type=How --overrides are applied: json, merge or strategic
overrides=JSON that is put over the generated object
overwrite=Change what has another value already
password=Password for basic authentication
patch=The patch, as JSON or YAML
patch-file=File with the patch
pod-running-timeout=How long to wait until a Pod runs, such as 5s or 2m
pod-selector=Only Pods with these labels
policy=Which credential plugins may run: AllowAll, DenyAll or Allowlist
port=Port of the container
expose port=Port of the Service
proxy port=Port to listen on; 0: any
preemption-policy=Whether Pods of the class push out others: PreemptLowerPriority or Never
prefix=Put the Pod and container before each line of a log
set env prefix=What stands before each name that comes from --from
prependarg=Argument to add before the user's own; repeatable
previous=The log of the container's last run
privileged=Run the container with all privileges
profile=What the new container may: general, baseline, restricted, netadmin or sysadmin
protocol=Protocol of the Service
proxy-url=URL of a proxy for connections to the cluster
prune=Delete what was applied earlier and is in no file any more; needs --all, -l or --applyset
prune-allowlist=Kind (GROUP/VERSION/KIND) that --prune looks through, instead of the usual ones; repeatable
quiet=Only what the session itself prints
raw=Path of the API to send the request to, as it is
recursive=Directories with all that is below them
explain recursive=All fields, and those below them
reject-methods=Regular expression for methods that the proxy refuses
reject-paths=Regular expression for paths that the proxy refuses
remove-extra-permissions=Take permissions away that the files do not have
remove-extra-subjects=Take subjects away that the files do not have
replace=Delete the Pod that was copied
replicas=How many replicas
requests=Requests (RESOURCE=AMOUNT), by comma
resolve=Show the values that variables take from ConfigMaps and Secrets
resource=Resource that the rule is about; repeatable
resource-name=Only the object of this name; repeatable
resource-version=Only if the object has this version
restart=When the containers are started again: Always, OnFailure or Never
retries=How often to go on with a copy that was cut off; -1: for ever
revision=Show this revision; 0: all, or the newest
rm=Delete the Pod when the session ends
role=Role that is granted
rule=Rule HOST/PATH=SERVICE:PORT[,tls[=SECRET]]; a path that ends with * is a prefix; repeatable
same-node=Run the copy on the node of the Pod
save-config=Note the object in the annotation that apply compares with
schedule=When the Job runs, as in cron
scopes=Scopes of the quota, by comma
section=Part of the preferences: defaults, aliases or credentialplugin
selector=Select objects by labels: KEY=VALUE, KEY!=VALUE, KEY in (A,B), by comma
create poddisruptionbudget selector=Labels of the Pods that the budget is about
expose selector=Labels of the Service's Pods, by comma
server=Address of the API server
server-print=Let the server make the tables
server-side=Let the server merge, and record who manages which field
serviceaccount=Service account (NAMESPACE:NAME); repeatable
session-affinity=Whether a client stays with a Pod: None or ClientIP
set-image=New image (CONTAINER=IMAGE) of a container of the copy; repeatable
set-raw-bytes=The value is taken as it is, not as base64
share-processes=Containers of the copy see each other's processes
show-capacity=Percentages of the capacity, not of what Pods can have
show-events=Show the events about the objects
show-kind=Show the kind before each name
show-labels=Show labels as the last column
show-managed-fields=Show managedFields in JSON and YAML
show-secrets=Show the values of Secrets in the difference
show-swap=Show swap
since=Only of the last 5s, 2m or 3h
since-time=Only from this time on (RFC 3339)
skip-wait-for-delete-timeout=Do not wait for Pods that were deleted more than so many seconds ago
sort-by=Field (JSONPath) by which to sort
top node sort-by=Sort by cpu or memory
top pod sort-by=Sort by cpu or memory
stdin=Pass standard input on
subresource=Subresource to work on, such as status or scale
sum=Show the sum
tail=Only the last so many lines; -1: all
target=Container whose processes the new one sees
target-port=Port, or name of a port, of the Pods
tcp=Port pairs (PORT[:TARGET])
template=Template, or file with one, for -o go-template and -o go-template-file
timeout=How long to wait; 0s: as the command has it by itself
timestamps=The time before each line of a log
tls-server-name=Name in the server's certificate, where it is another than that of its address
to-revision=The revision to go back to; 0: the last but one
token=Bearer token
tty=Standard input is a terminal
type=Type of the new object
patch type=Kind of patch: strategic, merge or json
types=Only events of these types, by comma
unix-socket=Socket to listen on instead of a port
use-protocol-buffers=Ask for metrics as protobuf
user=User; repeatable
username=User name for basic authentication
validate=strict (true): refuse unknown fields; warn: only tell of them; ignore (false): say nothing
value=Priority of Pods of the class
verb=What the rule allows; repeatable
verbs=Only resources that know these verbs
wait=Wait until it is done
watch=Go on with changes
watch-only=Only changes from now on
windows-line-endings=Edit with lines that end as on Windows
www=Directory whose files the proxy serves as well
www-prefix=Below which path these files are served
as=User to act as
as-group=Group to act as; repeatable
as-uid=UID to act as
as-user-extra=Further property (KEY=VALUE) of the user to act as; repeatable
cache-dir=Directory of what is remembered of servers
context=Context of the kubeconfig
disable-compression=Do not ask for compressed answers
help=Show the help of a command
kubeconfig=Path of the kubeconfig
kuberc=Path of the preferences; KUBERC=off: none
log-flush-frequency=Accepted, without effect
match-server-version=Refuse to work with a server of another version
namespace=Namespace to work in
profile-output=Accepted, without effect
request-timeout=How long to wait for an answer; 0: for ever
v=How much to tell of requests: 6 and more show them
vmodule=Accepted, without effect
warnings-as-errors=End with an error when the server has warned
"""


def _parsed() -> dict[str, str]:
    return dict(line.split("=", 1) for line in _TEXTS.strip().splitlines())


def text(path: list[str], flag: str) -> str:
    """What a flag of a command, given by its words, does; "" if nobody has said."""
    texts = _parsed()
    return texts.get(f"{' '.join(path)} {flag}") or texts.get(flag, "")
