//! All words of the pages, one table a language. A new language is one more table: the compiler asks for every entry.

mod english;
mod life;
mod scope;
mod status;
mod time;

pub use english::ENGLISH;
pub use scope::ScopeWords;
pub use status::StatusWords;

/// Declares the table's type; `{}` in a text stands for what [`fill`] puts there.
macro_rules! table {
    ($($name:ident),+ $(,)?) => {
        /// The words of one language.
        #[derive(Debug)]
        pub struct Words {
            /// The language's tag, for `lang` attributes: `en`.
            pub lang: &'static str,
            /// Names of scopes.
            pub scopes: &'static [ScopeWords],
            /// What the HTTP statuses mean to people; the last one stands for all others.
            pub statuses: &'static [StatusWords],
            $(#[allow(missing_docs)] pub $name: &'static str,)+
        }
    };
}

table! {
    // Frame
    skip_to_content, main_navigation, nav_home, nav_token, nav_services, nav_admin, person_menu, log_out, log_out_everywhere, log_in,
    groups, no_groups, administrator, theme, theme_system, theme_light, theme_dark, dismiss, announcements, footer,
    // Everywhere
    default_server, copy, copied, cancel, optional, unknown, never, something_failed, reference,
    facts_separator,
    // States
    state_stopped, state_starting, state_ready, state_stopping, state_failed, since_started, since_asked, since_failed,
    last_used, stops, stops_unless_used, stops_now, keep_running,
    // Login
    login_title, login_with, login_or, username, password, show_password, login_submit, terms_before, terms_link,
    insecure, provider_down,
    // Refused
    refused_title, refused_at, refused_as, refused_but, refused_ask, refused_below, refused_groups, refused_join, refused_join_help, refused_ask_group, refused_again,
    // New password
    new_password_title, new_password_one_time, invite_title, invite_why, invite_ends, new_password, confirm_password,
    least_length, new_password_submit, passwords_differ,
    // Log-out
    logged_out, logged_out_running, logged_out_stopped, log_in_again, provider_logout,
    // Home
    home_title, open, start, stop, watch, delete, delete_ask, delete_yes, try_again, my_server_empty, named_title, named_help,
    named_limit, named_full, named_empty, new_server, new_server_label, together_title, together_help, shares_title, share_of, share_default, services_title,
    service_silent, folder_file, folder_files, folder_ready, folder_uploading, folder_behind, folder_full, folder_broken, folder_draining,
    folder_kept, folder_unseen, folders_of, inside_ready, inside_token, inside_keys, inside_lacks,
    leaving, leaving_unless_used, leaving_files_kept, leaving_files_to_trash, leaving_files_until,
    memory_full_when, memory_full, memory_full_of,
    // Options
    spawn_title, spawn_title_named, spawn_for, spawn_plain, spawn_given, spawn_given_help, start_server, start_what,
    spawn_closed, spawn_profile, spawn_image, spawn_size, spawn_cores, spawn_memory, spawn_gpus, spawn_no_gpu, spawn_volumes, spawn_site, spawn_group, spawn_group_help, spawn_any_group, spawn_own_image, spawn_own_image_card, spawn_own_image_from, spawn_own_image_good, spawn_only_with,
    spawn_free, spawn_none_free, spawn_one_waits, spawn_some_wait, spawn_left, spawn_left_of,
    // Starting
    starting_title, starting_default, starting_help, step_waiting, step_working, step_done, step_failed, usually, event_log, cancel_start,
    phase_queued, phase_starting, phase_waiting, phase_routing, phase_ready, phase_stopping,
    // Stopping
    stopping_title, stopping_default, stopping_help, stopping_since,
    // Not running
    not_running_title, not_running_named, not_running_help, not_running_of, not_running_not_yours, starts_itself, failed_title,
    failed_named, failed_in, last_lines,
    // Failures
    cause_start_timeout, cause_no_answer, cause_no_route, cause_died, cause_lost, advice_again, advice_log, advice_lost,
    // Tokens
    token_title, token_help, token_new, token_note, token_note_help, token_note_example, token_expires, token_expires_help,
    token_rights, token_everything, token_narrow, token_narrow_help, token_scopes, token_scopes_help, token_create,
    token_created, token_created_help, token_list, token_list_help, token_empty, token_without_note, column_note, column_rights, column_used,
    column_created, column_expires, column_action, column_application, revoke, revoke_token, token_of_server, clients_title,
    clients_help, rights_none, rights_count,
    // Consent
    consent_title, consent_asks, consent_only_identify, consent_can, consent_sends, consent_allow, consent_as,
    // Sharing
    share_use, share_manage, share, share_start, share_ask, share_by_group, share_leave, share_leave_of,
    accept_title, accept_by, accept_stopped, accept_can, accept_then, accept_yes,
    sharing_title, sharing_help, sharing_grant_title, sharing_name, sharing_kind, sharing_user, sharing_group, sharing_manage,
    sharing_grant, sharing_link_title, sharing_link_what, sharing_link_make, sharing_link_made, sharing_link_help, sharing_list,
    sharing_list_help, sharing_empty, sharing_since, sharing_links, sharing_links_help, sharing_link, sharing_uses, sharing_unused,
    sharing_used_once, sharing_used, sharing_end,
    // Groups
    groups_empty, group_mine, group_in_panel, group_member, group_members, new_group, new_group_label, group_roles, group_no_roles, group_closed,
    group_members_title, group_running, group_remove, group_remove_of, group_empty, new_member, new_member_label,
    group_properties, group_properties_label, group_delete, group_delete_ask, parts, part_previous, part_next, save, edit,
    // Announcements
    announcements_help, announcement_new, announcement_edit, announcement_text, announcement_text_help, announcement_severity,
    severity_info, severity_warning, severity_problem, announcement_from, announcement_until, announcement_times_help,
    announcement_audience, announcement_audience_help, announcement_pages, announcement_groups, announcement_publish,
    announcement_all, announcement_none, announcement_ahead, announcement_now, announcement_over,
    // Maintenance of sites
    maintenance, maintenance_from, maintenance_to, maintenance_now, maintenance_stops, maintenance_closed,
    // Admin panel
    admin_sites, sites_help, sites_none, site_server_one, site_servers, site_open, site_drained, site_maintained, site_lost,
    site_changed, site_drain, site_undrain, site_drain_help, site_window, site_begins, site_ends, site_times_help, site_text, site_text_help, site_stops, site_window_set, site_window_new, site_window_change,
    site_window_end, site_lose, site_restore, site_lose_help, site_lose_ask, site_lose_what, site_lose_yes,
    admin_people, admin_roles, admin_usage, admin_audit, admin_person, admin_active, admin_made, admin_flag,
    admin_one, admin_many, admin_search, admin_find, admin_filters, admin_running, admin_admins, admin_idle,
    admin_failed, admin_no_people, admin_none_found, admin_nobody, admin_all, admin_ticked, admin_ticked_one,
    admin_ticked_many, admin_add, admin_add_names, admin_add_admin, admin_add_yes, admin_hub, admin_stop_all,
    admin_shutdown, admin_keys, admin_key_move, admin_key_tick, admin_key_open, admin_close, admin_more, admin_back,
    admin_start_many, admin_start_what, admin_start_yes, admin_stop_many, admin_stop_what, admin_stop_yes,
    admin_delete_many, admin_delete_what_follows, admin_files_kept, admin_files_to_trash, admin_files_until, admin_delete_and_servers, admin_delete_yes, admin_shutdown_many,
    admin_shutdown_what, admin_shutdown_servers, admin_shutdown_proxy, admin_shutdown_yes, admin_shutting_down,
    admin_shutting_down_what, admin_nothing, admin_nothing_what, admin_left_out, admin_left_out_many,
    admin_server_one, admin_server_many, admin_of, admin_role, admin_role_for, admin_role_origin, admin_roles_help,
    admin_held_by, admin_service_of, admin_no_tokens, admin_group_chip, admin_chip_away, admin_token_new, admin_token_help, admin_token_scopes, admin_token_made, admin_start_options, admin_recent, admin_rename_help, admin_delete_person,
    admin_delete_person_ask, admin_delete_what, admin_service, admin_state, admin_started, admin_address, admin_answers,
    admin_not_asked, admin_managed, admin_no_services, origin_everybody, origin_flag, origin_config, origin_login,
    origin_default, origin_api, origin_group, origin_hand, usage_period, usage_day, usage_week, usage_month,
    usage_empty, usage_servers, usage_servers_what, usage_cores, usage_cores_what, usage_memory, usage_memory_what,
    usage_gpus, usage_gpus_what, usage_table, usage_nobody, usage_others, usage_all, audit_when, audit_who,
    audit_what, audit_whom, audit_detail, audit_since, audit_until, audit_all, audit_nothing,
    // Errors
    go_home, error_code,
    // Time
    just_now, second_ago, seconds_ago, minute_ago, minutes_ago, hour_ago, hours_ago, day_ago, days_ago, month_ago, months_ago,
    year_ago, years_ago, in_second, in_seconds, in_minute, in_minutes, in_hour, in_hours, in_day, in_days, in_month, in_months,
    in_year, in_years, short_seconds, short_minutes,
}

impl Words {
    /// The words of a language by its tag (`it`, `en-GB`); English if there is no such table.
    pub fn of(_tag: &str) -> &'static Self {
        &ENGLISH
    }
}

/// Puts a value in place of the first `{}`.
pub fn fill(text: &str, value: impl std::fmt::Display) -> String {
    match text.split_once("{}") {
        Some((before, after)) => format!("{before}{value}{after}"),
        None => text.to_owned(),
    }
}

/// A number with its digits in threes, by narrow spaces that do not break: 100 000.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_threes() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1 000"), (100_000, "100 000"), (-1_234_567, "-1 234 567")]
        {
            assert_eq!(grouped(number).replace('\u{202f}', " "), text);
        }
    }

    #[test]
    fn a_value_takes_the_first_place_and_is_not_read_again() {
        assert_eq!(fill("Start {} of {}", "{}"), "Start {} of {}");
        assert_eq!(fill("Start {} of {}", 1), "Start 1 of {}");
        assert_eq!(fill("Start", 1), "Start");
    }
}
