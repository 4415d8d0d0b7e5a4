{{- /* What the network policies have in common. */ -}}

{{- /* From pods with a label, in this namespace or, where that is said, in any. Argument: list of label and
interNamespaceAccessLabels, and of where this namespace is when the policy is in another. */ -}}
{{- define "specola.policy.from" -}}
- podSelector:
    matchLabels: {hub.jupyter.org/network-access-{{ index . 0 }}: "true"}
  {{- if eq (index . 1) "accept" }}
  namespaceSelector: {}
  {{- else if gt (len .) 2 }}
  {{- with index . 2 }}
  namespaceSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end -}}

{{- /* Who reaches servers, and whom they reach: `ingress` and `egress` in YAML. Argument: list of root, and where this namespace
is when servers are in others; null where they are in this one. */ -}}
{{- define "specola.policy.ofServers" -}}
{{- $root := index . 0 -}}{{- $here := index . 1 -}}{{- $values := $root.Values.singleuser.networkPolicy -}}
ingress:
  - ports: [{port: {{ dig "spawner" "kubernetes" "port" 8888 $root.Values.hub.config | int }}}]
    from: {{- include "specola.policy.from" (list "singleuser" $values.interNamespaceAccessLabels $here) | nindent 6 }}
  {{- if $root.Values.singleuser.executors.enabled }}
  # Executors reach but their own server: their own policy says so.
  - from: {{- include "specola.policy.executors" $root | nindent 6 }}
  {{- end }}
  {{- with $values.allowedIngressPorts }}
  - ports:
    {{- range . }}
      - {port: {{ . }}}
    {{- end }}
  {{- end }}
  {{- with $values.ingress }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
egress:
  - ports: [{port: 8081}]
    to:
      - podSelector:
          matchLabels: {{- include "specola.selector" (list $root "hub") | nindent 12 }}
        {{- with $here }}
        namespaceSelector: {{- toYaml . | nindent 10 }}
        {{- end }}
  # Other people's servers that are shared, and services, by the way that browsers take.
  - ports: [{port: {{ include "specola.proxyPort" $root }}}]
    to:
      - podSelector:
          matchLabels: {{- include "specola.selector" (list $root "proxy") | nindent 12 }}
        {{- with $here }}
        namespaceSelector: {{- toYaml . | nindent 10 }}
        {{- end }}
  {{- if $root.Values.singleuser.executors.enabled }}
  - to: {{- include "specola.policy.executors" $root | nindent 6 }}
  # The API server, which is asked for executors.
  - ports: [{port: 443}, {port: 6443}]
    to:
    {{- range include "specola.needed" (list "singleuser.executors.apiServer is needed with a network policy: networks with the cluster's API server" $root.Values.singleuser.executors.apiServer) | fromYamlArray }}
      - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
  {{- include "specola.policy.egress" $values.egressAllowRules | nindent 2 }}
  {{- with $values.egress }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* The namespaces that the hub makes for executors. */ -}}
{{- define "specola.policy.executors" -}}
- namespaceSelector:
    matchLabels: {specola.executors: "yes", release: {{ .Release.Name }}}
{{- end -}}

{{- /* Where executors go, beside each other and their server: to the hub, and where servers go too. */ -}}
{{- define "specola.policy.ofExecutors" -}}
- ports: [{port: 8081}]
  to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ .Release.Namespace }}}
      podSelector:
        matchLabels: {{- include "specola.selector" (list . "hub") | nindent 10 }}
{{- include "specola.policy.egress" .Values.singleuser.networkPolicy.egressAllowRules }}
{{- with .Values.singleuser.networkPolicy.egress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The ports of addresses that are said to be elsewhere, whose networks nobody knows. */ -}}
{{- define "specola.policy.elsewhere" -}}
{{- $config := .Values.hub.config -}}
{{- $urls := list (dig "hub" "hub_connect_url" "" $config) (dig "control_url" "" .Values.proxy.config) -}}
{{- range dig "sites" list $config -}}
  {{- if ne .name (dig "hub" "site" "" $config) -}}{{- $urls = append $urls (.proxy_url | default "") -}}{{- end -}}
{{- end -}}
{{- $ports := list -}}
{{- range compact $urls -}}
  {{- $url := urlParse . -}}
  {{- $usual := eq $url.scheme "https" | ternary "443" "80" -}}
  {{- $ports = append $ports (regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default $usual | int) -}}
{{- end -}}
{{- range uniq $ports }}
- {protocol: TCP, port: {{ . }}}
{{- end }}
{{- end -}}

{{- /* Egress by egressAllowRules, for both families of addresses. */ -}}
{{- define "specola.policy.egress" -}}
{{- if .dnsPortsKubeSystemNamespace }}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
  to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: kube-system}
{{- end }}
{{- if .dnsPortsPrivateIPs }}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
  to:
    - ipBlock: {cidr: 10.0.0.0/8}
    - ipBlock: {cidr: 172.16.0.0/12}
    - ipBlock: {cidr: 192.168.0.0/16}
    - ipBlock: {cidr: 100.64.0.0/10}
    - ipBlock: {cidr: "fc00::/7"}
    # A cache on each machine.
    - ipBlock: {cidr: 169.254.20.10/32}
{{- end }}
{{- if .dnsPortsCloudMetadataServer }}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
  to:
    - ipBlock: {cidr: 169.254.169.254/32}
    - ipBlock: {cidr: "fd00:ec2::253/128"}
{{- end }}
{{- if .nonPrivateIPs }}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, 169.254.0.0/16, 127.0.0.0/8]
    - ipBlock:
        cidr: "::/0"
        except:
          - "::1/128"
          - "fc00::/7"
          - "fe80::/10"
          # The same addresses of version 4, as NAT64 has them.
          - "64:ff9b::a00:0/104"
          - "64:ff9b::ac10:0/108"
          - "64:ff9b::c0a8:0/112"
          - "64:ff9b::6440:0/106"
          - "64:ff9b::a9fe:0/112"
          - "64:ff9b::7f00:0/104"
{{- end }}
{{- if .privateIPs }}
- to:
    - ipBlock: {cidr: 10.0.0.0/8}
    - ipBlock: {cidr: 172.16.0.0/12}
    - ipBlock: {cidr: 192.168.0.0/16}
    - ipBlock: {cidr: 100.64.0.0/10}
    - ipBlock:
        cidr: "fc00::/7"
        except: ["fd00:ec2::254/128"]
{{- end }}
{{- if .cloudMetadataServer }}
- to:
    - ipBlock: {cidr: 169.254.169.254/32}
    - ipBlock: {cidr: "fd00:ec2::254/128"}
{{- end }}
{{- end -}}
