{{- /* "yes" when the hub says which images are fetched on machines that come later, in the order of their use. */ -}}
{{- define "specola.images.byHub" -}}
{{- if and .Values.prePuller.continuous.enabled .Values.prePuller.pullProfileListImages .Values.rbac.create -}}yes{{- end -}}
{{- end -}}

{{- define "specola.images.extra" -}}
{{- $images := list -}}
{{- range .Values.prePuller.extraImages -}}{{- $images = append $images (printf "%s:%v" .name .tag) -}}{{- end -}}
{{- $images | toJson -}}
{{- end -}}

{{- /* Images to be fetched beforehand, as far as values tell, as a list in JSON: those of what the hub reads. */ -}}
{{- define "specola.images" -}}
{{- $config := include "specola.config" . | fromJson -}}
{{- $images := include "specola.images.of" $config.spawner.kubernetes | fromJsonArray -}}
{{- if .Values.prePuller.pullProfileListImages -}}
  {{- $options := $config.options | default dict -}}
  {{- range include "specola.listed" $options.profile_list | fromJsonArray -}}
    {{- $images = concat $images (include "specola.images.of" .kubespawner_override | fromJsonArray) -}}
    {{- range (dig "profile_options" dict .) -}}
      {{- range (dig "choices" dict .) -}}
        {{- $images = concat $images (include "specola.images.of" .kubespawner_override | fromJsonArray) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- range $options.images -}}{{- $images = append $images .image -}}{{- end -}}
  {{- range $options.flavours -}}
    {{- $images = concat $images (include "specola.images.of" .spawner_override | fromJsonArray) -}}
  {{- end -}}
{{- end -}}
{{- $images = concat $images (include "specola.images.extra" . | fromJsonArray) -}}
{{- $images | uniq | toJson -}}
{{- end -}}

{{- /* Those of a table with options of pods: what runs before a server, itself, and beside it. */ -}}
{{- define "specola.images.of" -}}
{{- $of := . | default dict -}}
{{- $images := list -}}
{{- range include "specola.listed" $of.init_containers | fromJsonArray -}}{{- $images = append $images .image -}}{{- end -}}
{{- $images = append $images ($of.image | default "") -}}
{{- range include "specola.listed" $of.extra_containers | fromJsonArray -}}{{- $images = append $images .image -}}{{- end -}}
{{- compact $images | toJson -}}
{{- end -}}

{{- /* A pod that is ready when its machine has all images. Its containers run beside each other: who waits for the first
image does not wait for the last. Argument: list of root and the values of hook or continuous. */ -}}
{{- define "specola.puller" -}}
{{- $root := index . 0 -}}{{- $of := index . 1 -}}{{- $puller := $root.Values.prePuller -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 0
{{- if $root.Values.scheduling.podPriority.enabled }}
{{- /* A hook comes before the priorities are made. */}}
{{- if not (hasKey $of "timeoutSeconds") }}
priorityClassName: {{ include "specola.clusterName" (list $root "image-puller") }}
{{- end }}
{{- end }}
{{- include "specola.pullSecrets" (list $root $root.Values.singleuser.image.pullSecrets) }}
{{- with $root.Values.singleuser.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat $root.Values.scheduling.userPods.tolerations $root.Values.singleuser.extraTolerations $puller.extraTolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if eq $root.Values.scheduling.userPods.nodeAffinity.matchNodePurpose "require" }}
affinity:
  nodeAffinity: {{- include "specola.purpose" (list "require" "user") | nindent 4 }}
{{- end }}
containers:
{{- range $image := include "specola.images" $root | fromJsonArray }}
  - name: image-{{ sha256sum $image | trunc 8 }}
    image: {{ $image | quote }}
    imagePullPolicy: IfNotPresent
    # It is here: that is all.
    command: [/bin/sh, -c, "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
    securityContext: {{- toYaml $puller.containerSecurityContext | nindent 6 }}
    resources: {{- toYaml $puller.resources | nindent 6 }}
{{- end }}
{{- end -}}
