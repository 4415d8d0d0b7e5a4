//! Parts of volumes that are one person's: whether they are there, and their end.

use crate::ground::{docker, ground};

#[tokio::test]
async fn a_part_of_a_volume_goes_and_the_rest_stays() {
    let Some(ground) = ground() else { return };
    let (driver, volume) = (ground.driver(), ground.volume("all"));
    let inside = |line: &str| {
        let mount = format!("{volume}:/all");
        docker(&["run", "--rm", "--network", "none", "--volume", &mount, ground.base(), "sh", "-c", line])
    };
    let part = |name: &str| format!("{volume}/{name}");
    assert!(!driver.has_volume(&part("anna")).await.unwrap(), "there is no such volume");
    driver.remove_volume(&part("anna")).await.unwrap();
    assert_eq!(docker(&["volume", "ls", "-q", "--filter", &format!("name=^{volume}$")]), "", "nor is it made");

    // What another user may not read or change, and a name that is an option elsewhere.
    inside("mkdir -p /all/anna/deep /all/bob /all/-rf && echo hers >/all/anna/deep/file && echo his >/all/bob/file");
    inside("chown -R 1000 /all/anna && chmod 0 /all/anna/deep/file && chmod 500 /all/anna/deep /all/anna");
    inside("ln -s bob /all/link && ln -s ../bob /all/anna/bob || ln -s /all/bob /all/-rf/bob");
    for (name, there) in [("anna", true), ("anna/deep", true), ("-rf", true), ("carl", false)] {
        assert_eq!(driver.has_volume(&part(name)).await.unwrap(), there, "{name}");
    }
    for name in ["anna", "-rf", "carl", "anna"] {
        driver.remove_volume(&part(name)).await.unwrap();
    }
    assert_eq!(inside("ls /all && cat /all/bob/file"), "bob\nlink\nhis");
    // What is in the way leads to nothing of anybody else's.
    let error = driver.remove_volume(&part("link/file")).await.unwrap_err();
    assert!(format!("{error:#}").contains("is not removed"), "{error:#}");
    driver.remove_volume(&part("link")).await.unwrap();
    assert_eq!(inside("ls /all && cat /all/bob/file"), "bob\nhis", "the link, and not what it leads to");
    assert_eq!(docker(&["ps", "-aq", "--filter", "name=specola-part-", "--filter", &format!("volume={volume}")]), "");
}

#[tokio::test]
async fn what_an_image_cannot_remove_stays_and_is_told() {
    let Some(mut ground) = ground() else { return };
    let volume = ground.volume("all");
    let mount = format!("{volume}:/all");
    docker(&["run", "--rm", "--volume", &mount, ground.base(), "mkdir", "/all/anna"]);
    let base = ground.base().to_owned();
    // Without a program of its own.
    let bare = ground.image(format!("{}:bare", ground.hub));
    ground.lend(&bare, "bare");
    ground.config.image = Some(bare);
    ground.driver().remove_volume(&format!("{volume}/anna")).await.unwrap_err();
    assert_eq!(docker(&["run", "--rm", "--volume", &mount, &base, "ls", "/all"]), "anna");
    assert_eq!(docker(&["ps", "-aq", "--filter", &format!("volume={volume}")]), "");
}
