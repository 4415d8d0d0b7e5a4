{{- /* Names, labels, images: what all templates use. */ -}}

{{- /* The name of an object: [prefix-]SUFFIX. Argument: list of root and suffix. */ -}}
{{- define "specola.name" -}}
{{- $root := index . 0 -}}
{{- $full := $root.Values.fullnameOverride -}}
{{- if kindIs "invalid" $full -}}
  {{- $chart := $root.Values.nameOverride | default $root.Chart.Name -}}
  {{- $full = contains $chart $root.Release.Name | ternary $root.Release.Name (printf "%s-%s" $root.Release.Name $chart) -}}
{{- end -}}
{{- if $full -}}{{ printf "%s-%s" ($full | trunc 40 | trimSuffix "-") (index . 1) }}{{- else -}}{{ index . 1 }}{{- end -}}
{{- end -}}

{{- /* Of the whole cluster. */ -}}
{{- define "specola.clusterName" -}}
{{- $root := index . 0 -}}
{{- printf "%s-%s-%s" $root.Release.Namespace $root.Release.Name (index . 1) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* What pods are found by. Argument: list of root and component. */ -}}
{{- define "specola.selector" -}}
app: jupyterhub
release: {{ (index . 0).Release.Name }}
component: {{ index . 1 }}
{{- end -}}

{{- define "specola.labels" -}}
{{- $root := index . 0 -}}
{{ include "specola.selector" . }}
app.kubernetes.io/name: specola
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* NAME:TAG. Argument: list of root and the image of the values; without a name it is the hub's. */ -}}
{{- define "specola.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- if not $image.name -}}{{- $image = $root.Values.hub.image -}}{{- end -}}
{{ $image.name }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}

{{- define "specola.pullPolicy" -}}
{{- with . }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end -}}

{{- /* The names of secrets for registries, as a list in JSON. */ -}}
{{- define "specola.pullSecretNames" -}}
{{- $root := index . 0 -}}
{{- $names := list -}}
{{- if $root.Values.imagePullSecret.create -}}{{- $names = append $names (include "specola.name" (list $root "image-pull-secret")) -}}{{- end -}}
{{- range concat $root.Values.imagePullSecrets (index . 1 | default list) -}}
  {{- if kindIs "string" . -}}{{- $names = append $names . -}}{{- else -}}{{- $names = append $names .name -}}{{- end -}}
{{- end -}}
{{- $names | uniq | toJson -}}
{{- end -}}

{{- define "specola.pullSecrets" -}}
{{- with include "specola.pullSecretNames" . | fromJsonArray }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Variables: a table of texts, or of what Kubernetes has beside a name; or its own list. */ -}}
{{- define "specola.env" -}}
{{- if kindIs "slice" . }}
{{- toYaml . }}
{{- else }}
{{- range $name, $value := . }}
- name: {{ $name | quote }}
{{- if kindIs "map" $value }}
  {{- omit $value "name" | toYaml | nindent 2 }}
{{- else }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* As `required`, also for what is there and empty. Argument: list of what is said, and the value; gives it in YAML. */ -}}
{{- define "specola.needed" -}}
{{- if empty (index . 1) -}}{{- fail (index . 0) -}}{{- end -}}
{{- index . 1 | toYaml -}}
{{- end -}}

{{- define "specola.secret" -}}
{{ .Values.hub.existingSecret | default (include "specola.name" (list . "hub")) }}
{{- end -}}

{{- /* /base/, as the hub has it. */ -}}
{{- define "specola.base" -}}
{{- $base := trimAll "/" (.Values.hub.baseUrl | default "/") -}}
{{- if $base -}}/{{ $base }}/{{- else -}}/{{- end -}}
{{- end -}}

{{- define "specola.serviceAccount" -}}
{{- with .Values.hub.serviceAccount }}
{{- if .create }}{{ .name | default (include "specola.name" (list $ "hub")) }}{{ else }}{{ .name | default "default" }}{{ end }}
{{- end }}
{{- end -}}

{{- define "specola.proxy.serviceAccount" -}}
{{- with .Values.proxy.serviceAccount }}
{{- if .create }}{{ .name | default (include "specola.name" (list $ "proxy")) }}{{ else }}{{ .name | default "default" }}{{ end }}
{{- end }}
{{- end -}}

{{- /* The secret with the account and the certificate of letsencrypt. */ -}}
{{- define "specola.acmeSecret" -}}{{ include "specola.name" (list . "proxy-acme") }}{{- end -}}

{{- /* Whether the proxy itself speaks TLS, and with which certificate: off, acme or files. */ -}}
{{- define "specola.tls" -}}
{{- $https := .Values.proxy.https -}}
{{- if or (not $https.enabled) (eq $https.type "offload") -}}off
{{- else if eq $https.type "letsencrypt" -}}acme
{{- else -}}files{{- end -}}
{{- end -}}

{{- /* Where the proxy listens: list of names and ports. */ -}}
{{- define "specola.proxyPort" -}}
{{- if eq (include "specola.tls" .) "off" -}}8000{{- else -}}8443{{- end -}}
{{- end -}}

{{- define "specola.everyAddress" -}}
{{- if eq .Values.network.ipFamily "IPv4" -}}0.0.0.0{{- else -}}[::]{{- end -}}
{{- end -}}

{{- define "specola.ipFamilies" -}}
{{- if eq .Values.network.ipFamily "IPv6" }}
ipFamilyPolicy: SingleStack
ipFamilies: [IPv6]
{{- else if eq .Values.network.ipFamily "DualStack" }}
ipFamilyPolicy: PreferDualStack
{{- end }}
{{- end -}}

{{- /* "yes" when hub, proxies and servers speak TLS with each other. */ -}}
{{- define "specola.internalSsl" -}}
{{- if dig "hub" "internal_ssl" false .Values.hub.config -}}yes{{- end -}}
{{- end -}}

{{- define "specola.internalSslDir" -}}/run/specola/internal-ssl{{- end -}}
{{- define "specola.internalSslSecret" -}}{{ include "specola.name" (list . "proxy-internal-ssl") }}{{- end -}}

{{- /* A service of the hub's, for everybody in the cluster. Argument: list of root, name and port. Routes are always told in
plain HTTP. */ -}}
{{- define "specola.hubUrl" -}}
{{- $root := index . 0 -}}
{{ and (eq (include "specola.internalSsl" $root) "yes") (eq (index . 1) "hub") | ternary "https" "http" }}://{{ include "specola.name" (list $root (index . 1)) }}.{{ $root.Release.Namespace }}:{{ index . 2 }}
{{- end -}}

{{- /* https://host/base/, or nothing when nobody said. */ -}}
{{- define "specola.publicUrl" -}}
{{- $values := .Values -}}
{{- if $values.publicUrl -}}{{ $values.publicUrl }}
{{- else if and $values.proxy.https.enabled $values.proxy.https.hosts -}}
https://{{ first $values.proxy.https.hosts }}{{ include "specola.base" . }}
{{- else if and $values.ingress.enabled $values.ingress.hosts -}}
{{ empty $values.ingress.tls | not | ternary "https" "http" }}://{{ first $values.ingress.hosts }}{{ include "specola.base" . }}
{{- else if $values.httpRoute.enabled -}}
{{- /* Whether a gateway speaks TLS is not said here: all but one that is called by the port or name of plain HTTP does. */ -}}
{{- $gateway := first $values.httpRoute.parentRefs | default dict -}}
{{- $plain := or (eq (int $gateway.port) 80) (eq ($gateway.sectionName | default "") "http") -}}
{{- $hosts := list -}}
{{- range $values.httpRoute.hostnames -}}{{- if not (hasPrefix "*" .) -}}{{- $hosts = append $hosts . -}}{{- end -}}{{- end -}}
{{- with $hosts -}}
{{ $plain | ternary "http" "https" }}://{{ first . }}{{ include "specola.base" $ }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "specola.pdbVersion" -}}
{{- if semverCompare ">=1.21.0-0" .Capabilities.KubeVersion.Version -}}policy/v1{{- else -}}policy/v1beta1{{- end -}}
{{- end -}}

{{- define "specola.hpaVersion" -}}
{{- if semverCompare ">=1.23.0-0" .Capabilities.KubeVersion.Version -}}autoscaling/v2{{- else -}}autoscaling/v2beta2{{- end -}}
{{- end -}}

{{- /* Priority of the pods of hub and proxy, and of servers. */ -}}
{{- define "specola.priority" -}}
{{- if .Values.scheduling.podPriority.enabled }}
priorityClassName: {{ include "specola.clusterName" (list . "default") }}
{{- end }}
{{- end -}}

{{- /* Affinity to machines with that purpose, as Kubernetes has it. Argument: list of how, and purpose. */ -}}
{{- define "specola.purpose" -}}
{{- $term := dict "matchExpressions" (list (dict "key" "hub.jupyter.org/node-purpose" "operator" "In" "values" (list (index . 1)))) -}}
{{- if eq (index . 0) "prefer" -}}
{{ dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "preference" $term)) | toYaml }}
{{- else if eq (index . 0) "require" -}}
{{ dict "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" (list $term)) | toYaml }}
{{- end -}}
{{- end -}}

{{- /* Several pods of a component, on several machines and in several zones as far as that can be. Argument: list of root,
component, its values, and "yes" when there are several. */ -}}
{{- define "specola.spread" -}}
{{- $root := index . 0 -}}{{- $of := index . 1 -}}{{- $several := index . 3 -}}
{{- with (index . 2).topologySpreadConstraints }}
topologySpreadConstraints: {{- toYaml . | nindent 2 }}
{{- else }}
{{- if $several }}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "specola.selector" (list $root $of) | nindent 8 }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* "yes" when there are several proxies. */ -}}
{{- define "specola.proxy.several" -}}
{{- if or (gt (int .Values.proxy.replicas) 1) .Values.proxy.autoscaling.enabled -}}yes{{- end -}}
{{- end -}}

{{- /* The port of the public service for what comes through an ingress or a gateway: its name. */ -}}
{{- define "specola.proxy.backend" -}}
{{- and .Values.proxy.https.enabled .Values.proxy.service.disableHttpPort | ternary "https" "http" -}}
{{- end -}}

{{- /* Where pods of hub and proxy are put. Argument: list of root and the values of one of them. */ -}}
{{- define "specola.placed" -}}
{{- include "specola.priority" (index . 0) }}
{{- include "specola.where" . }}
{{- end -}}

{{- /* The same without a priority, which is not there yet when a hook is. */ -}}
{{- define "specola.where" -}}
{{- $root := index . 0 -}}{{- $of := index . 1 -}}
{{- with $of.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat $root.Values.scheduling.corePods.tolerations $of.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "specola.purpose" (list $root.Values.scheduling.corePods.nodeAffinity.matchNodePurpose "core") }}
affinity:
  nodeAffinity: {{- . | nindent 4 }}
{{- end }}
{{- end -}}

{{- /* Anything that no table of the values has, laid over a pod. Argument: list of the pod in YAML, and what is laid over. */ -}}
{{- define "specola.over" -}}
{{- $pod := index . 0 | fromYaml -}}
{{- if hasKey $pod "Error" -}}{{- fail $pod.Error -}}{{- end -}}
{{- mergeOverwrite $pod (deepCopy (index . 1)) | toYaml -}}
{{- end -}}

{{- /* A pod of a job with the hub's program, which finds its way as the hub does. Argument: list of root and the pod in YAML. */ -}}
{{- define "specola.hub.job" -}}
{{- $over := omit (index . 0).Values.hub.extraPodSpec "containers" "initContainers" "volumes" "restartPolicy" "serviceAccountName" "priorityClassName" -}}
{{- include "specola.over" (list (index . 1) $over) -}}
{{- end -}}
