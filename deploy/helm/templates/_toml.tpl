{{- /* TOML of tables of the values. Whole numbers stay whole, which Helm's own toToml does not promise; null is left out. */ -}}

{{- define "specola.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{- define "specola.toml.value" -}}
{{- if kindIs "map" . -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}
  {{- if not (kindIs "invalid" $value) -}}
    {{- $pairs = append $pairs (printf "%s = %s" (include "specola.toml.key" $key) (include "specola.toml.value" $value)) -}}
  {{- end -}}
{{- end -}}
{ {{ join ", " $pairs }} }
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}
  {{- if not (kindIs "invalid" .) -}}{{- $items = append $items (include "specola.toml.value" .) -}}{{- end -}}
{{- end -}}
[{{ join ", " $items }}]
{{- else if typeIs "json.Number" . -}}{{ . }}
{{- else if kindIs "float64" . -}}{{ if eq . (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- else if kindIs "string" . -}}{{ toJson . }}
{{- else -}}{{ . }}
{{- end -}}
{{- end -}}

{{- /* Argument: list of the table's name, or nothing, and the table. */ -}}
{{- define "specola.toml" -}}
{{- $path := index . 0 -}}{{- $table := index . 1 -}}
{{- with $path }}
[{{ . }}]
{{- end }}
{{- range $key, $value := $table }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ include "specola.toml.key" $key }} = {{ include "specola.toml.value" $value }}
{{- end }}
{{- end }}
{{- range $key, $value := $table }}
{{- if kindIs "map" $value }}
{{ include "specola.toml" (list (compact (list $path (include "specola.toml.key" $key)) | join ".") $value) }}
{{- end }}
{{- end }}
{{- end -}}
