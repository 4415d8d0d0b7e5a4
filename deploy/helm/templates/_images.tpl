{{- /* Images to be fetched beforehand, in the order of their use, as a list in JSON. */ -}}
{{- define "specola.images" -}}
{{- $user := .Values.singleuser -}}
{{- $images := list (printf "%s:%v" $user.image.name $user.image.tag) -}}
{{- if .Values.prePuller.pullProfileListImages -}}
  {{- range $user.profileList -}}
    {{- with dig "kubespawner_override" "image" "" . -}}{{- $images = append $images . -}}{{- end -}}
    {{- range (dig "profile_options" dict .) -}}
      {{- range (dig "choices" dict .) -}}
        {{- with dig "kubespawner_override" "image" "" . -}}{{- $images = append $images . -}}{{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- range dig "options" "images" list .Values.hub.config -}}{{- $images = append $images .image -}}{{- end -}}
{{- end -}}
{{- range .Values.prePuller.extraImages -}}{{- $images = append $images (printf "%s:%v" .name .tag) -}}{{- end -}}
{{- with .Values.singleuser.networkTools.image -}}
  {{- if $.Values.singleuser.cloudMetadata.blockWithIptables -}}{{- $images = prepend $images (printf "%s:%s" .name (.tag | default "latest")) -}}{{- end -}}
{{- end -}}
{{- $images | uniq | toJson -}}
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
{{- range $index, $image := include "specola.images" $root | fromJsonArray }}
  - name: image-{{ $index }}
    image: {{ $image | quote }}
    imagePullPolicy: IfNotPresent
    # It is here: that is all.
    command: [/bin/sh, -c, "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
    securityContext: {{- toYaml $puller.containerSecurityContext | nindent 6 }}
    resources: {{- toYaml $puller.resources | nindent 6 }}
{{- end }}
{{- end -}}
