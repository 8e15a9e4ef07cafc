"""Draws Grafana dashboards as light SVG, from the answers to their queries: what docs/dashboards.md shows. No more of Grafana
than Braid's dashboards use, and much simplified."""
