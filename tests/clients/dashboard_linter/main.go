// Runs Grafana's dashboard-linter over dashboards, as its own command does with --strict. Its module cannot be installed
// by `go install`, for it replaces a dependency; so this is a module that does the same and calls its rules.
//
//	linter CONFIGURATION DASHBOARD...
//
// Prints a JSON line for each finding, {"file", "rule", "severity", "message"}, with severity "excluded" where the
// configuration excludes it, and at the end one with the number of rules and results.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/dashboard-linter/lint"
)

type finding struct {
	File     string `json:"file"`
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
}

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(configuration string, files []string) error {
	out := json.NewEncoder(os.Stdout)
	config := lint.NewConfigurationFile()
	if err := config.Load(configuration); err != nil {
		return err
	}
	rules := lint.NewRuleSet()
	results := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		dashboard, err := lint.NewDashboard(text)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		found, err := rules.Lint([]lint.Dashboard{dashboard})
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		found.Configure(config)
		for rule, contexts := range found.ByRule() {
			for _, context := range contexts {
				for _, one := range context.Result.Results {
					results++
					// What is excluded is so marked even where nothing was found.
					nothing := one.Message == lint.ResultSuccess.Message+" (Excluded)"
					if severity := word(one.Severity); severity != "" && !nothing {
						if err := out.Encode(finding{file, rule, severity, one.Message}); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	return out.Encode(map[string]int{"rules": len(rules.Rules()), "results": results})
}

// Empty for what is as it should be.
func word(severity lint.Severity) string {
	switch severity {
	case lint.Exclude:
		return "excluded"
	case lint.Warning:
		return "warning"
	case lint.Error:
		return "error"
	default:
		return ""
	}
}
