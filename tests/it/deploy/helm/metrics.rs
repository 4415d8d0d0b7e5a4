//! Alerts and dashboards, held to what hub and proxy tell.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::Value;
use tests::specola::Options;
use tests::{Body, Specola, need, place};

use super::helm;

/// The names of metrics in an expression of PromQL: words that are no function, keyword, label or range.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    const WORDS: [&str; 10] = ["by", "on", "and", "or", "unless", "le", "without", "ignoring", "bool", "offset"];
    let mut names = BTreeSet::new();
    let (mut depth, mut grouping) = (0_usize, false);
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let word: String =
            rest.chars().take_while(|one| one.is_ascii_alphanumeric() || matches!(one, '_' | ':')).collect();
        if word.is_empty() {
            match first {
                '{' | '[' => depth += 1,
                '}' | ']' => depth = depth.saturating_sub(1),
                ')' => grouping = false,
                _ => {}
            }
            rest = &rest[first.len_utf8()..];
            continue;
        }
        rest = &rest[word.len()..];
        let next = rest.trim_start();
        let called = ["(", "by ", "by(", "without ", "without("].iter().any(|begin| next.starts_with(begin));
        if matches!(word.as_str(), "by" | "on" | "without" | "ignoring") {
            grouping = true;
        } else if depth == 0 && !grouping && !called && !WORDS.contains(&word.as_str()) && !first.is_ascii_digit() {
            names.insert(word);
        }
    }
    names
}

/// Every text below a key of that name.
fn below<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_str() {
            Some(text) if name == key => found.push(text),
            _ => below(value, key, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| below(item, key, found)),
        _ => {}
    }
}

/// The hub's and the proxy's, as samples.
async fn told() -> Result<BTreeSet<String>> {
    let address = format!("127.0.0.1:{}", place::free_port()?);
    let options = Options::default().small_lab("quick.py")?.set("proxy", "metrics_address", &format!("{address:?}"));
    let specola = Specola::start(options).await?;
    let mut admin = specola.logged_in("admin").await?;
    admin.start_server("admin").await?;
    admin.get("/user/admin/").await?.expect(&[200])?;
    admin.stop_server("admin").await?;
    let token = admin.new_token("admin").await?;
    let hub = admin.with_token(&token).get("/hub/metrics").await?.expect(&[200])?.text();
    let mut proxy = tests::Session::new(&format!("http://{address}"))?;
    proxy.send(Method::GET, "/health", Body::Empty).await?.expect(&[200])?;
    proxy.send(Method::GET, "/ready", Body::Empty).await?.expect(&[200])?;
    let proxy = proxy.get("/metrics").await?.expect(&[200])?.text();
    let mut names = BTreeSet::new();
    for line in hub.lines().chain(proxy.lines()) {
        if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of.split_once(' ').context("a type")?;
            let ends: &[&str] = if kind == "histogram" { &["_bucket", "_count", "_sum"] } else { &[""] };
            names.extend(ends.iter().map(|end| format!("{name}{end}")));
        }
    }
    Ok(names)
}

#[test]
fn the_names_of_metrics_are_found_in_expressions() {
    let of = |text: &str| metrics_of(text).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(of("60 * sum by (status) (rate(a_total{b=\"c d\", e=~\"f.\"}[5m]))"), "a_total");
    assert_eq!(of("rate(a{n=\"x\"}[$__rate_interval]) and on (pod) b{n=\"x\"} / c > 0.5"), "a b c");
    assert_eq!(of("histogram_quantile(0.9, sum by (le, handler) (rate(a_bucket[1h])))"), "a_bucket");
}

#[tokio::test]
async fn alerts_and_dashboards_ask_for_what_hub_and_proxy_tell() -> Result<()> {
    let helm = helm!();
    let rendered = helm.render(&["everything"], &[])?;
    let rule = rendered.get("PrometheusRule", "lab-alerts")?;
    let mut expressions = Vec::new();
    below(rule, "expr", &mut expressions);
    let alerts = expressions.len();
    ensure!(expressions.iter().all(|text| text.contains("namespace=\"labs\"")), "{expressions:?}");
    let boards: Vec<Value> = rendered.get("ConfigMap", "lab-dashboards")?["data"]
        .as_object()
        .context("dashboards")?
        .values()
        .map(|text| Ok(serde_json::from_str(text.as_str().context("a text")?)?))
        .collect::<Result<_>>()?;
    boards.iter().for_each(|board| below(board, "expr", &mut expressions));
    ensure!(boards.len() == 2 && alerts > 5 && expressions.len() > alerts + 20, "{}", expressions.len());
    let told = told().await?;
    for expression in expressions {
        let names = metrics_of(expression);
        ensure!(!names.is_empty(), "nothing is asked for: {expression}");
        for name in names {
            ensure!(told.contains(&name), "{name} of {expression} is in none of {told:?}");
        }
    }
    // Prometheus has a right of its own, and a way past the policies.
    let monitor = rendered.get("ServiceMonitor", "lab-hub")?;
    let credentials = &monitor["spec"]["endpoints"][0]["authorization"]["credentials"];
    let secret = rendered.get("Secret", credentials["name"].as_str().context("a name")?)?;
    ensure!(secret["data"][credentials["key"].as_str().context("a key")?].is_string(), "{credentials}");
    assert_eq!(monitor["spec"]["endpoints"][0]["path"], "/lab/hub/metrics");
    Ok(())
}
