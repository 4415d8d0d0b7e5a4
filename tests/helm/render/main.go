// Renders and lints a chart with Helm's own packages, by the names of Helm's commands: `template NAME CHART` and `lint CHART`.
// The whole of Helm speaks to clusters and registries too, and takes twice as long to build.
package main

import (
	"flag"
	"fmt"
	"os"
	"path"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"helm.sh/helm/v3/pkg/strvals"
)

type list []string

func (all *list) String() string         { return strings.Join(*all, ",") }
func (all *list) Set(value string) error { *all = append(*all, value); return nil }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	// Flags may stand before and after the chart.
	flags := flag.NewFlagSet("helm", flag.ContinueOnError)
	var files, sets list
	flags.Var(&files, "values", "a file of values")
	flags.Var(&sets, "set", "a value")
	namespace := flags.String("namespace", "default", "the namespace of the release")
	version := flags.String("kube-version", "", "the version of Kubernetes")
	flags.Bool("strict", true, "a warning is an error, always")
	flags.Bool("quiet", true, "says nothing else, always")
	var names []string
	for rest := arguments; len(rest) > 0; {
		if err := flags.Parse(rest); err != nil {
			return err
		}
		if rest = flags.Args(); len(rest) > 0 {
			names, rest = append(names, rest[0]), rest[1:]
		}
	}
	values, err := merged(files, sets)
	if err != nil {
		return err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	if *version != "" {
		parsed, err := chartutil.ParseKubeVersion(*version)
		if err != nil {
			return err
		}
		capabilities.KubeVersion = *parsed
	}
	switch {
	case len(names) == 3 && names[0] == "template":
		return template(names[1], names[2], *namespace, values, capabilities)
	case len(names) == 2 && names[0] == "lint":
		return linted(names[1], *namespace, values, capabilities)
	}
	return fmt.Errorf("template NAME CHART, or lint CHART, and not %q", names)
}

func merged(files, sets []string) (map[string]interface{}, error) {
	values := map[string]interface{}{}
	for _, file := range files {
		read, err := chartutil.ReadValuesFile(file)
		if err != nil {
			return nil, err
		}
		values = chartutil.CoalesceTables(read, values)
	}
	for _, set := range sets {
		if err := strvals.ParseInto(set, values); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func template(name, folder, namespace string, values map[string]interface{}, capabilities *chartutil.Capabilities) error {
	chart, err := loader.Load(folder)
	if err != nil {
		return err
	}
	options := chartutil.ReleaseOptions{Name: name, Namespace: namespace, Revision: 1, IsInstall: true}
	whole, err := chartutil.ToRenderValues(chart, values, options, capabilities)
	if err != nil {
		return err
	}
	rendered, err := engine.Render(chart, whole)
	if err != nil {
		return err
	}
	var paths []string
	for of := range rendered {
		if base := path.Base(of); !strings.HasPrefix(base, "_") && base != "NOTES.txt" {
			paths = append(paths, of)
		}
	}
	sort.Strings(paths)
	for _, of := range paths {
		if strings.TrimSpace(rendered[of]) != "" {
			fmt.Printf("---\n# Source: %s\n%s\n", of, strings.TrimSpace(rendered[of]))
		}
	}
	return nil
}

func linted(folder, namespace string, values map[string]interface{}, capabilities *chartutil.Capabilities) error {
	result := lint.AllWithKubeVersion(folder, values, namespace, &capabilities.KubeVersion)
	for _, message := range result.Messages {
		if message.Severity >= support.WarningSev {
			return fmt.Errorf("%s", message)
		}
	}
	return nil
}
