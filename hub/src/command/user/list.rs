//! The table of `specola user list`.

use std::collections::BTreeMap;

use anyhow::Result;
use hub_store::{Store, UserQuery};

/// Read from the database at once.
const PAGE: u32 = 500;

/// Prints all users, by name.
pub async fn print(store: &Store) -> Result<()> {
    let mut servers: BTreeMap<_, usize> = BTreeMap::new();
    for server in store.active_servers().await? {
        *servers.entry(server.user_id).or_default() += 1;
    }
    let mut rows = vec![["Name", "Rights", "Servers", "Last activity (UTC)"].map(String::from)];
    let mut query = UserQuery { limit: Some(PAGE), ..UserQuery::default() };
    loop {
        let page = store.list_users(&query).await?;
        let count = u32::try_from(page.items.len()).unwrap_or(u32::MAX);
        rows.extend(page.items.into_iter().map(|user| {
            let active = user.last_activity.map_or("never".into(), |time| time.format("%Y-%m-%d %H:%M").to_string());
            let running = servers.get(&user.id).copied().unwrap_or_default().to_string();
            [user.name, if user.admin { "admin" } else { "" }.to_owned(), running, active]
        }));
        if count < PAGE {
            break;
        }
        query.offset = query.offset.saturating_add(count);
    }
    print!("{}", table(&rows));
    Ok(())
}

/// Columns as wide as their widest cell, two spaces apart.
fn table(rows: &[[String; 4]]) -> String {
    let mut widths = [0; 4];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 4]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<String>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["Name", "Rights", "Servers", "Last"], ["ünal", "admin", "1", "never"], ["a", "", "0", "x"]];
        let text = table(&rows.map(|row| row.map(String::from)));
        assert_eq!(text, "Name  Rights  Servers  Last\nünal  admin   1        never\na             0        x\n");
    }
}
