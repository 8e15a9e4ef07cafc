// Package v2 stands in for Grafana's, which dashboard-linter compiles against to read dashboards of the v2 schema, and
// which brings all of Kubernetes' API machinery. Braid's dashboards are of the classic schema, so none of this is ever
// filled: these are just the names that the linter's adapter mentions.
package v2

type DashboardSpec struct {
	Title       string
	Editable    *bool
	Elements    map[string]DashboardElement
	Variables   []DashboardVariableKind
	Annotations []DashboardAnnotationQueryKind
}

type DashboardElement struct{ PanelKind *DashboardPanelKind }

type DashboardPanelKind struct{ Spec DashboardPanelSpec }

type DashboardPanelSpec struct {
	Id          float64
	Title       string
	Description string
	VizConfig   struct {
		Group string
		Spec  struct{ FieldConfig, Options any }
	}
	Data struct {
		Spec struct{ Queries []DashboardPanelQueryKind }
	}
}

type DashboardPanelQueryKind struct {
	Spec struct {
		RefId  string
		Hidden bool
		Query  DashboardDataQueryKind
	}
}

type DashboardDataQueryKind struct {
	Group      string
	Datasource *struct{ Name *string }
	Spec       map[string]any
}

type DashboardAnnotationQueryKind struct {
	Spec struct {
		Name  string
		Query DashboardDataQueryKind
	}
}

type DashboardVariableRefresh string

const (
	DashboardVariableRefreshOnDashboardLoad    DashboardVariableRefresh = "onDashboardLoad"
	DashboardVariableRefreshOnTimeRangeChanged DashboardVariableRefresh = "onTimeRangeChanged"
)

type text struct {
	Spec struct {
		Name  string
		Label *string
		Query string
		Multi bool

		AllValue *string
	}
}

type DashboardVariableKind struct {
	QueryVariableKind *struct {
		Spec struct {
			Name     string
			Label    *string
			Multi    bool
			AllValue *string
			Refresh  DashboardVariableRefresh
			Query    DashboardDataQueryKind
		}
	}
	DatasourceVariableKind *struct {
		Spec struct {
			Name     string
			Label    *string
			Multi    bool
			AllValue *string
			Refresh  DashboardVariableRefresh
			PluginId string
		}
	}
	CustomVariableKind, IntervalVariableKind, ConstantVariableKind, TextVariableKind *text
	AdhocVariableKind, GroupByVariableKind, SwitchVariableKind                       *text
}
