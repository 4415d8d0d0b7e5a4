{{- /* The hub's pod, and what the check of its configuration has in common with it. */ -}}

{{- /* "yes" with PostgreSQL: hubs share their work, so a new one may begin beside an old one. */ -}}
{{- define "specola.hub.rolls" -}}
{{- if hasPrefix "postgres" (include "specola.config" . | fromJson).hub.db_url -}}yes{{- end -}}
{{- end -}}

{{- /* "yes" when each person has a namespace. */ -}}
{{- define "specola.hub.everywhere" -}}
{{- if dig "spawner" "kubernetes" "enable_user_namespaces" false .Values.hub.config -}}yes{{- end -}}
{{- end -}}

{{- /* The role that the hub binds in each of them. */ -}}
{{- define "specola.hub.boundRole" -}}{{ include "specola.clusterName" (list . "hub-servers") }}{{- end -}}

{{- /* Who the hub is for the cluster. */ -}}
{{- define "specola.hub.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "specola.serviceAccount" . }}
{{- end -}}

{{- /* "yes" when there are several. */ -}}
{{- define "specola.hub.several" -}}
{{- if gt (int .Values.hub.replicas) 1 -}}yes{{- end -}}
{{- end -}}

{{- /* What is given; else what was made before; else something new. */ -}}
{{- define "specola.hub.secrets" -}}
{{- $old := (lookup "v1" "Secret" .Release.Namespace (include "specola.name" (list . "hub"))).data | default dict }}
{{- $keys := dict
    "hub.config.JupyterHub.cookie_secret" (list .Values.hub.cookieSecret (randBytes 32 | b64dec | printf "%x"))
    "hub.config.ConfigurableHTTPProxy.auth_token" (list .Values.proxy.secretToken (randAlphaNum 64))
    "hub.config.CryptKeeper.keys" (list .Values.hub.cryptKey (randBytes 32 | b64dec | printf "%x")) }}
{{- range $service, $of := .Values.hub.services }}
{{- $_ := set $keys (printf "hub.services.%s.apiToken" $service) (list $of.apiToken (randAlphaNum 48)) }}
{{- end }}
{{- if include "specola.prometheusToken" . }}
{{- $_ := set $keys "hub.services.prometheus.apiToken" (list "" (randAlphaNum 48)) }}
{{- end }}
{{- range $key, $choice := $keys }}
  {{ $key }}: {{ if index $choice 0 }}{{ index $choice 0 | toString | b64enc }}{{ else }}{{ index $old $key | default (index $choice 1 | b64enc) }}{{ end }}
{{- end }}
{{- with .Values.hub.db.password }}
  hub.db.password: {{ . | toString | b64enc }}
{{- end }}
{{- end -}}

{{- define "specola.hub.files" -}}
{{- range $name, $file := .Values.hub.extraFiles }}
  {{ $name | quote }}: {{ if $file.binaryData }}{{ $file.binaryData }}{{ else if $file.stringData }}{{ $file.stringData | b64enc }}{{ else }}{{ $file.data | toJson | b64enc }}{{ end }}
{{- end }}
{{- end -}}

{{- define "specola.hub.mounts" }}
- {name: data, mountPath: {{ include "specola.dataDir" . }}{{ with .Values.hub.db.pvc.subPath }}, subPath: {{ . | quote }}{{ end }}}
- {name: tmp, mountPath: /tmp}
- {name: config, mountPath: /etc/specola, readOnly: true}
- {name: secret, mountPath: {{ include "specola.secretDir" . }}, readOnly: true}
{{- range $name, $file := .Values.hub.extraFiles }}
- {name: files, mountPath: {{ $file.mountPath | quote }}, subPath: {{ $name | quote }}, readOnly: true}
{{- end }}
{{- with .Values.hub.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Argument: list of root and the name of the secret. */ -}}
{{- define "specola.hub.environment" }}
{{- $root := index . 0 }}{{- $secret := index . 1 }}
- name: JPY_COOKIE_SECRET
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: hub.config.JupyterHub.cookie_secret}}
- name: JUPYTERHUB_CRYPT_KEY
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: hub.config.CryptKeeper.keys}}
{{- if eq $root.Values.hub.db.type "postgres" }}
- name: PGPASSWORD
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: hub.db.password, optional: true}}
{{- end }}
{{- with $root.Values.hub.extraEnv }}
{{ include "specola.env" . }}
{{- end }}
{{- end }}

{{- /* The container that says what is wrong with the configuration. Argument: list of root and the name of the secret. */ -}}
{{- define "specola.hub.check" }}
{{- $root := index . 0 }}
- name: check-config
  image: {{ include "specola.image" (list $root $root.Values.hub.image) }}
  {{- include "specola.pullPolicy" $root.Values.hub.image.pullPolicy | indent 2 }}
  args: [check-config]
  # What is wrong is told with the pod's status as well.
  terminationMessagePolicy: FallbackToLogsOnError
  env: {{- include "specola.hub.environment" . | indent 4 }}
  securityContext: {{- toYaml $root.Values.hub.containerSecurityContext | nindent 4 }}
  resources: {{- toYaml $root.Values.hub.resources | nindent 4 }}
  volumeMounts: {{- include "specola.hub.mounts" $root | indent 4 }}
{{- end }}

{{- /* All volumes but that of the data. Argument: list of root, and the names of configuration, secret and files. */ -}}
{{- define "specola.hub.volumes" }}
{{- $root := index . 0 }}
- {name: tmp, emptyDir: {}}
- {name: config, configMap: {name: {{ index . 1 }}}}
- {name: secret, secret: {secretName: {{ index . 2 }}, defaultMode: 0440}}
{{- if $root.Values.hub.extraFiles }}
- name: files
  secret:
    secretName: {{ index . 3 }}
    defaultMode: 0440
    items:
    {{- range $name, $file := $root.Values.hub.extraFiles }}
      - {key: {{ $name | quote }}, path: {{ $name | quote }}{{ with $file.mode }}, mode: {{ . }}{{ end }}}
    {{- end }}
{{- end }}
{{- with $root.Values.hub.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "specola.hub.pod" }}
{{- $secret := include "specola.secret" . | trim }}
serviceAccountName: {{ include "specola.serviceAccount" . }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: 45
{{- include "specola.pullSecrets" (list . .Values.hub.image.pullSecrets) }}
securityContext: {{- toYaml .Values.hub.podSecurityContext | nindent 2 }}
{{- include "specola.placed" (list . .Values.hub) }}
{{- include "specola.spread" (list . "hub" .Values.hub (include "specola.hub.several" .)) }}
initContainers:
  {{- with .Values.hub.initContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  # A mistake in the configuration is told here, and the hub that ran before is not to blame.
  {{- include "specola.hub.check" (list . $secret) | indent 2 }}
containers:
  - name: hub
    image: {{ include "specola.image" (list . .Values.hub.image) }}
    {{- include "specola.pullPolicy" .Values.hub.image.pullPolicy | indent 4 }}
    {{- with .Values.hub.command }}
    command: {{- toYaml . | nindent 6 }}
    {{- end }}
    args: {{- .Values.hub.args | default (list "serve") | toYaml | nindent 6 }}
    ports:
      - {name: http, containerPort: 8081}
      - {name: control, containerPort: 8001}
    env: {{- include "specola.hub.environment" (list . $secret) | indent 6 }}
    {{- if .Values.hub.lifecycle }}
    lifecycle: {{- toYaml .Values.hub.lifecycle | nindent 6 }}
    {{- else if include "specola.hub.rolls" . }}
    lifecycle:
      # It goes on until nobody is sent to it any more.
      preStop:
        exec: {command: [sleep, "5"]}
    {{- end }}
    {{- /* Who looks after it has no certificate. */}}
    {{- $port := include "specola.internalSsl" . | empty | ternary "http" "control" }}
    {{- $base := include "specola.internalSsl" . | empty | ternary (printf "%shub" (include "specola.base" .)) "" }}
    startupProbe:
      httpGet: {path: {{ $base }}/health, port: {{ $port }}}
      {{- toYaml .Values.hub.startupProbe | nindent 6 }}
    livenessProbe:
      httpGet: {path: {{ $base }}/health, port: {{ $port }}}
      {{- toYaml .Values.hub.livenessProbe | nindent 6 }}
    readinessProbe:
      httpGet: {path: {{ $base }}/health/ready, port: {{ $port }}}
      {{- toYaml .Values.hub.readinessProbe | nindent 6 }}
    securityContext: {{- toYaml .Values.hub.containerSecurityContext | nindent 6 }}
    resources: {{- toYaml .Values.hub.resources | nindent 6 }}
    volumeMounts: {{- include "specola.hub.mounts" . | indent 6 }}
  {{- with .Values.hub.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes:
  - name: data
    {{- if eq .Values.hub.db.type "sqlite-pvc" }}
    persistentVolumeClaim: {claimName: {{ include "specola.name" (list . "hub-db-dir") }}}
    {{- else }}
    emptyDir: {}
    {{- end }}
  {{- $names := list (include "specola.name" (list . "hub")) $secret (include "specola.name" (list . "hub-files")) }}
  {{- include "specola.hub.volumes" (prepend $names .) | indent 2 }}
{{- end }}
