{{- /* specola.toml of the hub, and that of the proxy: tables made of the values. */ -}}

{{- define "specola.dataDir" -}}/var/lib/specola{{- end -}}
{{- define "specola.secretDir" -}}/run/specola/secret{{- end -}}

{{- /* [proxy] as hub and proxy both have it. */ -}}
{{- define "specola.config.proxy" -}}
{{- $own := dict "should_start" false "token_file" (printf "%s/hub.config.ConfigurableHTTPProxy.auth_token" (include "specola.secretDir" .)) -}}
{{- $own | toJson -}}
{{- end -}}

{{- /* Of claims: who pays for what the labels say. */ -}}
{{- define "specola.config.labels" -}}
app: jupyterhub
release: {{ .Release.Name }}
heritage: jupyterhub
app.kubernetes.io/name: jupyterhub
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: specola
{{- end -}}

{{- define "specola.config.hub" -}}
{{- $hub := .Values.hub -}}
{{- $own := dict
    "bind_url" (printf "http://%s:8000%s" (include "specola.everyAddress" .) (include "specola.base" .))
    "hub_ip" (include "specola.everyAddress" . | trimAll "[]")
    "hub_port" 8081
    "hub_connect_url" (include "specola.hubUrl" (list . "hub" 8081))
    "data_dir" (include "specola.dataDir" .)
    "concurrent_spawn_limit" $hub.concurrentSpawnLimit
    "active_server_limit" $hub.activeServerLimit
    "allow_named_servers" $hub.allowNamedServers
    "named_server_limit_per_user" $hub.namedServerLimitPerUser
    "redirect_to_server" $hub.redirectToServer
    "shutdown_on_logout" $hub.shutdownOnLogout
    "authenticate_prometheus" $hub.authenticatePrometheus -}}
{{- with .Values.proxy.trustedDownstreamIPs -}}{{- $_ := set $own "trusted_downstream_ips" . -}}{{- end -}}
{{- with include "specola.publicUrl" . -}}{{- $_ := set $own "public_url" . -}}{{- end -}}
{{- if eq $hub.db.type "postgres" -}}
  {{- $_ := set $own "db_url" (required "hub.db.url is needed with hub.db.type postgres: postgresql://USER@HOST/DATABASE" $hub.db.url) -}}
{{- else -}}
  {{- $_ := set $own "db_url" (printf "sqlite:///%s/jupyterhub.sqlite" (include "specola.dataDir" .)) -}}
{{- end -}}
{{- $services := list -}}{{- $roles := list -}}
{{- range $name, $service := $hub.services -}}
  {{- $file := printf "%s/hub.services.%s.apiToken" (include "specola.secretDir" $) $name -}}
  {{- $services = append $services (mergeOverwrite (dict "name" $name "api_token_file" $file) (omit $service "apiToken")) -}}
{{- end -}}
{{- if include "specola.prometheusToken" . -}}
  {{- $file := printf "%s/hub.services.prometheus.apiToken" (include "specola.secretDir" .) -}}
  {{- $services = append $services (dict "name" "prometheus" "api_token_file" $file) -}}
  {{- $roles = append $roles (dict "name" "prometheus" "description" "Reads metrics" "scopes" (list "read:metrics") "services" (list "prometheus")) -}}
{{- end -}}
{{- range $name, $role := $hub.loadRoles -}}
  {{- $roles = append $roles (mergeOverwrite (dict "name" $name) (deepCopy $role)) -}}
{{- end -}}
{{- if $services -}}{{- $_ := set $own "services" $services -}}{{- end -}}
{{- if $roles -}}{{- $_ := set $own "load_roles" $roles -}}{{- end -}}
{{- $own | toJson -}}
{{- end -}}

{{- /* "yes" when Prometheus needs a token of its own. */ -}}
{{- define "specola.prometheusToken" -}}
{{- if and .Values.monitoring.serviceMonitor.enabled (ne .Values.hub.authenticatePrometheus false) (not (hasKey .Values.hub.services "prometheus")) -}}yes{{- end -}}
{{- end -}}

{{- define "specola.config.spawner" -}}
{{- $user := .Values.singleuser -}}
{{- $environment := dict -}}
{{- range $name, $value := (kindIs "map" $user.extraEnv | ternary $user.extraEnv dict) -}}
  {{- if not (kindIs "map" $value) -}}{{- $_ := set $environment $name ($value | toString) -}}{{- end -}}
{{- end -}}
{{- $own := dict
    "driver" "kubernetes"
    "cmd" (kindIs "invalid" $user.cmd | ternary list (kindIs "slice" $user.cmd | ternary $user.cmd (list $user.cmd)))
    "default_url" $user.defaultUrl
    "start_timeout" $user.startTimeout
    "cpu_limit" $user.cpu.limit
    "cpu_guarantee" $user.cpu.guarantee
    "mem_limit" $user.memory.limit
    "mem_guarantee" $user.memory.guarantee
    "kubernetes" (include "specola.config.kubernetes" . | fromJson) -}}
{{- if $environment -}}{{- $_ := set $own "environment" $environment -}}{{- end -}}
{{- $own | toJson -}}
{{- end -}}

{{- /* A list, or the values of a table in the order of its keys, as KubeSpawner takes both; in JSON. */ -}}
{{- define "specola.listed" -}}
{{- $all := list -}}
{{- range . -}}{{- $all = append $all . -}}{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{- define "specola.config.kubernetes" -}}
{{- $root := . -}}{{- $user := .Values.singleuser -}}{{- $storage := $user.storage -}}
{{- $pods := .Values.scheduling.userPods -}}
{{- $purpose := include "specola.purpose" (list $pods.nodeAffinity.matchNodePurpose "user") | fromYaml -}}
{{- $required := dig "requiredDuringSchedulingIgnoredDuringExecution" "nodeSelectorTerms" list $purpose -}}
{{- $preferred := dig "preferredDuringSchedulingIgnoredDuringExecution" list $purpose -}}
{{- $own := dict
    "image" (printf "%s:%v" $user.image.name (required "singleuser.image.tag is needed" $user.image.tag))
    "image_pull_policy" $user.image.pullPolicy
    "image_pull_secrets" (include "specola.pullSecretNames" (list . $user.image.pullSecrets) | fromJsonArray)
    "common_labels" (include "specola.config.labels" . | fromYaml)
    "extra_labels" $user.extraLabels
    "extra_annotations" $user.extraAnnotations
    "uid" $user.uid
    "fs_gid" $user.fsGid
    "allow_privilege_escalation" $user.allowPrivilegeEscalation
    "service_account" $user.serviceAccountName
    "pod_name_template" $user.podNameTemplate
    "events_enabled" $user.events
    "extra_resource_limits" $user.extraResource.limits
    "extra_resource_guarantees" $user.extraResource.guarantees
    "lifecycle_hooks" $user.lifecycleHooks
    "node_selector" $user.nodeSelector
    "tolerations" (concat $pods.tolerations $user.extraTolerations)
    "node_affinity_required" (concat $required $user.extraNodeAffinity.required)
    "node_affinity_preferred" (concat $preferred $user.extraNodeAffinity.preferred)
    "pod_affinity_required" $user.extraPodAffinity.required
    "pod_affinity_preferred" $user.extraPodAffinity.preferred
    "pod_anti_affinity_required" $user.extraPodAntiAffinity.required
    "pod_anti_affinity_preferred" $user.extraPodAntiAffinity.preferred
    "scheduler_name" $pods.schedulerName
    "extra_pod_config" $user.extraPodConfig -}}
{{- if and $user.networkPolicy.enabled (dig "spawner" "kubernetes" "enable_user_namespaces" false .Values.hub.config) -}}
  {{- $here := dict "matchLabels" (dict "kubernetes.io/metadata.name" .Release.Namespace) -}}
  {{- $_ := set $own "user_namespace_network_policy" (include "specola.policy.ofServers" (list . $here) | fromYaml) -}}
{{- end -}}
{{- if and .Values.rbac.create (include "specola.hub.everywhere" .) -}}
  {{- $_ := set $own "user_namespace_binding" (dict "role" (include "specola.hub.boundRole" .) "hub_user" (include "specola.hub.user" .)) -}}
{{- end -}}
{{- if include "specola.images.byHub" . -}}
  {{- $puller := dict "daemon_set" (printf "%s/%s" .Release.Namespace (include "specola.name" (list . "continuous-image-puller"))) -}}
  {{- with include "specola.images.extra" . | fromJsonArray -}}{{- $_ := set $puller "extra_images" . -}}{{- end -}}
  {{- $_ := set $own "image_puller" $puller -}}
{{- end -}}
{{- with $user.executors -}}
{{- if .enabled -}}
  {{- if and $user.networkPolicy.enabled $user.networkPolicy.egressAllowRules.privateIPs -}}
    {{- fail "singleuser.networkPolicy.egressAllowRules.privateIPs would let executors reach all private networks, file servers and machines of the cluster included: name those that are needed in singleuser.networkPolicy.egress" -}}
  {{- end -}}
  {{- if $user.cloudMetadata.blockWithIptables -}}
    {{- fail "singleuser.cloudMetadata.blockWithIptables keeps servers from the cloud's metadata, and not their executors: with singleuser.executors.enabled only a network policy that is enforced does" -}}
  {{- end -}}
  {{- $namespaces := dict
      "role" (include "specola.clusterName" (list $root "executors"))
      "pod_security" .podSecurity
      "hub_user" (include "specola.hub.user" $root)
      "labels" (include "specola.config.labels" $root | fromYaml)
      "agent_image" (include "specola.image" (list $root .agentImage) | trim) -}}
  {{- if $user.networkPolicy.enabled -}}
    {{- $_ := set $namespaces "egress" (include "specola.policy.ofExecutors" $root | fromYamlArray) -}}
  {{- end -}}
  {{- $_ := set $own "executor_namespaces" $namespaces -}}
{{- end -}}
{{- end -}}
{{- /* Which address of two a pod is reached by, the cluster decides. */ -}}
{{- if ne .Values.network.ipFamily "IPv4" -}}{{- $_ := set $own "ip" (eq .Values.network.ipFamily "IPv6" | ternary "::" "") -}}{{- end -}}
{{- if .Values.scheduling.podPriority.enabled -}}
  {{- $_ := set $own "priority_class_name" (include "specola.clusterName" (list . "default")) -}}
{{- end -}}
{{- $volumes := list -}}{{- $mounts := list -}}
{{- if eq $storage.type "dynamic" -}}
  {{- $_ := set $own "storage_pvc_ensure" true -}}
  {{- $_ := set $own "storage_capacity" $storage.capacity -}}
  {{- $_ := set $own "storage_class" $storage.dynamic.storageClass -}}
  {{- $_ := set $own "pvc_name_template" $storage.dynamic.pvcNameTemplate -}}
  {{- $_ := set $own "storage_access_modes" $storage.dynamic.storageAccessModes -}}
  {{- $_ := set $own "storage_extra_labels" $storage.extraLabels -}}
  {{- $volumes = append $volumes (dict "name" "home" "persistentVolumeClaim" (dict "claimName" "{pvc_name}")) -}}
  {{- $mounts = append $mounts (dict "name" "home" "mountPath" $storage.homeMountPath) -}}
{{- else if eq $storage.type "static" -}}
  {{- $claim := required "singleuser.storage.static.pvcName is needed with storage.type static" $storage.static.pvcName -}}
  {{- $volumes = append $volumes (dict "name" "home" "persistentVolumeClaim" (dict "claimName" $claim)) -}}
  {{- $mounts = append $mounts (dict "name" "home" "mountPath" $storage.homeMountPath "subPath" $storage.static.subPath) -}}
{{- end -}}
{{- $_ := set $own "volumes" (concat $volumes (include "specola.listed" $storage.extraVolumes | fromJsonArray)) -}}
{{- $_ := set $own "volume_mounts" (concat $mounts (include "specola.listed" $storage.extraVolumeMounts | fromJsonArray)) -}}
{{- $before := include "specola.listed" $user.initContainers | fromJsonArray -}}
{{- if $user.cloudMetadata.blockWithIptables -}}
  {{- $image := $user.networkTools.image -}}
  {{- $image := printf "%s:%s" (required "singleuser.networkTools.image is needed to block with iptables" $image.name) ($image.tag | default "latest") -}}
  {{- $ip := $user.cloudMetadata.ip -}}
  {{- $tool := contains ":" $ip | ternary "ip6tables" "iptables" -}}
  {{- $context := dict "runAsUser" 0 "runAsNonRoot" false "privileged" true "allowPrivilegeEscalation" true "capabilities" (dict "add" (list "NET_ADMIN")) -}}
  {{- $block := dict "name" "block-cloud-metadata" "image" $image "command" (list $tool "--append" "OUTPUT" "--protocol" "tcp" "--destination" $ip "--destination-port" "80" "--jump" "DROP") "securityContext" $context -}}
  {{- with $user.networkTools.resources -}}{{- $_ := set $block "resources" . -}}{{- end -}}
  {{- with $user.networkTools.image.pullPolicy -}}{{- $_ := set $block "imagePullPolicy" . -}}{{- end -}}
  {{- $before = prepend $before $block -}}
{{- end -}}
{{- $_ := set $own "init_containers" $before -}}
{{- $_ := set $own "extra_containers" (include "specola.listed" $user.extraContainers | fromJsonArray) -}}
{{- $variables := list -}}
{{- if kindIs "slice" $user.extraEnv -}}
  {{- $variables = $user.extraEnv -}}
{{- else -}}
  {{- range $name, $value := $user.extraEnv -}}
    {{- if kindIs "map" $value -}}{{- $variables = append $variables (mergeOverwrite (dict "name" $name) (omit $value "name")) -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- if $variables -}}{{- $_ := set $own "extra_container_config" (dict "env" $variables) -}}{{- end -}}
{{- /* What says nothing is left to the program's own defaults. */ -}}
{{- $said := dict -}}
{{- range $key, $value := $own -}}
  {{- if not (or (kindIs "invalid" $value) (and (or (kindIs "slice" $value) (kindIs "map" $value)) (empty $value))) -}}
    {{- $_ := set $said $key $value -}}
  {{- end -}}
{{- end -}}
{{- $said | toJson -}}
{{- end -}}

{{- /* The hub's whole configuration: what the chart says, and hub.config over it. */ -}}
{{- define "specola.config" -}}
{{- $cull := .Values.cull -}}
{{- $internal := dict -}}
{{- if include "specola.internalSsl" . -}}{{- $_ := set $internal "internal_ssl_secret" (printf "%s/%s" .Release.Namespace (include "specola.internalSslSecret" .)) -}}{{- end -}}
{{- $own := dict
    "hub" (include "specola.config.hub" . | fromJson)
    "spawner" (include "specola.config.spawner" . | fromJson)
    "proxy" (mergeOverwrite (include "specola.config.proxy" . | fromJson) (dict "control_address" (printf "%s:8001" (include "specola.everyAddress" .))) $internal (deepCopy .Values.proxy.config))
    "culler" (dict
        "enabled" $cull.enabled
        "timeout" $cull.timeout
        "cull_every" $cull.every
        "max_age" $cull.maxAge
        "cull_users" $cull.users
        "cull_admin_users" $cull.adminUsers
        "remove_named_servers" $cull.removeNamedServers)
    "log" (dict "level" (.Values.debug.enabled | ternary "debug" "info")) -}}
{{- with include "specola.listed" .Values.singleuser.profileList | fromJsonArray -}}{{- $_ := set $own "options" (dict "profile_list" .) -}}{{- end -}}
{{- mergeOverwrite $own (deepCopy .Values.hub.config) | toJson -}}
{{- end -}}

{{- /* The proxy's: what it needs, and nothing of people. */ -}}
{{- define "specola.config.ofProxy" -}}
{{- $tls := include "specola.tls" . -}}
{{- $scheme := eq $tls "off" | ternary "http" "https" -}}
{{- $hub := dict
    "bind_url" (printf "%s://%s:%s%s" $scheme (include "specola.everyAddress" .) (include "specola.proxyPort" .) (include "specola.base" .))
    "hub_connect_url" (dig "hub" "hub_connect_url" (include "specola.hubUrl" (list . "hub" 8081)) .Values.hub.config)
    "data_dir" (include "specola.dataDir" .)
    "trusted_downstream_ips" .Values.proxy.trustedDownstreamIPs -}}
{{- with include "specola.publicUrl" . -}}{{- $_ := set $hub "public_url" . -}}{{- end -}}
{{- with dig "hub" "subdomain_host" "" .Values.hub.config -}}{{- $_ := set $hub "subdomain_host" . -}}{{- end -}}
{{- with dig "hub" "site" "" .Values.hub.config -}}{{- $_ := set $hub "site" . -}}{{- end -}}
{{- /* Of sites it needs the names. */ -}}
{{- $sites := list -}}
{{- range (dig "sites" list .Values.hub.config) -}}{{- $sites = append $sites (pick . "name" "proxy_url") -}}{{- end -}}
{{- $proxy := dict
    "control_url" (include "specola.hubUrl" (list . "hub-control" 8001))
    "metrics_address" (printf "%s:8002" (include "specola.everyAddress" .))
    "tls" $tls -}}
{{- if include "specola.internalSsl" . -}}
  {{- $_ := set $hub "internal_ssl" true -}}
  {{- $_ := set $proxy "internal_ssl_folder" (include "specola.internalSslDir" .) -}}
{{- end -}}
{{- $https := .Values.proxy.https -}}
{{- if ne $tls "off" -}}{{- $_ := set $proxy "redirect_port" 8080 -}}{{- end -}}
{{- if eq $tls "acme" -}}
  {{- $_ := set $proxy "acme_domains" (include "specola.needed" (list "proxy.https.hosts is needed with letsencrypt" $https.hosts) | fromYamlArray) -}}
  {{- $_ := set $proxy "acme_email" (required "proxy.https.letsencrypt.contactEmail is needed" $https.letsencrypt.contactEmail) -}}
  {{- $_ := set $proxy "acme_directory" $https.letsencrypt.acmeServer -}}
  {{- $_ := set $proxy "acme_secret" (include "specola.acmeSecret" .) -}}
  {{- if $https.letsencrypt.acmeCA -}}{{- $_ := set $proxy "acme_ca_file" "/etc/specola/acme-ca.crt" -}}{{- end -}}
{{- else if eq $tls "files" -}}
  {{- $_ := set $proxy "ssl_cert" "/run/specola/tls/tls.crt" -}}
  {{- $_ := set $proxy "ssl_key" "/run/specola/tls/tls.key" -}}
{{- end -}}
{{- dict "hub" $hub "sites" (empty $sites | ternary nil $sites) "proxy" (mergeOverwrite (include "specola.config.proxy" . | fromJson) $proxy (deepCopy .Values.proxy.config)) "log" (dict "level" (.Values.debug.enabled | ternary "debug" "info")) | toJson -}}
{{- end -}}
