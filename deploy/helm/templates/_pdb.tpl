{{- /* Argument: list of root, component, the values of the budget, and "yes" when there are several. */ -}}
{{- define "specola.pdb" -}}
{{- $root := index . 0 -}}{{- $of := index . 1 -}}{{- $pdb := index . 2 -}}
{{- if kindIs "invalid" $pdb.enabled | ternary (index . 3 | empty | not) $pdb.enabled }}
apiVersion: {{ include "specola.pdbVersion" $root }}
kind: PodDisruptionBudget
metadata:
  name: {{ include "specola.name" (list $root $of) }}
  labels: {{- include "specola.labels" (list $root $of) | nindent 4 }}
spec:
  {{- if not (kindIs "invalid" $pdb.maxUnavailable) }}
  maxUnavailable: {{ $pdb.maxUnavailable }}
  {{- else }}
  minAvailable: {{ $pdb.minAvailable }}
  {{- end }}
  selector:
    matchLabels: {{- include "specola.selector" (list $root $of) | nindent 6 }}
{{- end }}
{{- end -}}
