//! The page in a real browser: `console/tests/page.mjs` drives it, and asks for what it needs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::Scene;
use crate::support::Tidewater;

/// Where the screenshot of the README is made, when it is asked for.
const SCREENSHOT: &str = "TIDEWATER_TEST_SCREENSHOT";

/// Whether there is a node that is new enough; `scripts/install tests` says so where there is none.
fn has_node() -> bool {
    let asked = Command::new("node")
        .args(["-p", "process.versions.node"])
        .output();
    let version = asked
        .ok()
        .and_then(|asked| String::from_utf8(asked.stdout).ok());
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    let found = major.is_some_and(|major| major >= 20);
    if !found {
        println!("skipped: there is no node 20");
    }
    found
}

/// Its types are right, its parts do what they say, and what is embedded is what they make.
#[test]
fn the_page_is_built_from_its_source() {
    if !has_node() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for script in ["check", "test"] {
        let ran = Command::new("npm")
            .args(["run", "--silent", script])
            .current_dir(root.join("console"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stdout);
        println!("{told}");
        assert!(
            ran.status.success(),
            "{told}{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_works_in_a_browser() {
    if !has_node() {
        return;
    }
    let mut scene = Scene::start("console_page").await;
    scene.source(MORE).await;
    scene.codes().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("node");
    command
        .arg(root.join("console/tests/page.mjs"))
        .arg(format!("http://{}/", scene.address))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
    let screenshot = std::env::var(SCREENSHOT);
    command.args(screenshot.ok());
    let mut browser = command.spawn().expect("node: scripts/install tests");
    let mut answers = browser.stdin.take().unwrap();
    let lines = BufReader::new(browser.stdout.take().unwrap()).lines();
    let mut level = 700;
    for line in lines {
        let line = line.unwrap();
        println!("{line}");
        let answer = match line.strip_prefix("ask: ") {
            None => continue,
            Some("change") => {
                level += 1;
                let sql = format!(
                    "update inventory set on_hand = {level} where (store_id, product_id) = (1, 1)"
                );
                scene.source(&sql).await;
                format!("done 1 1 {level}")
            }
            Some("restart") => {
                restart(&mut scene).await;
                "done".to_owned()
            }
            Some("key") => format!("done {}", scene.with_key("rules:write").await.key.unwrap()),
            Some("code") => {
                code(&scene).await;
                "done".to_owned()
            }
            Some(other) => panic!("the browser asks for {other}"),
        };
        writeln!(answers, "{answer}").unwrap();
    }
    let status = browser.wait().unwrap();
    assert!(status.success(), "{status}; {}", scene.console().log());
    scene.end();
}

/// Kills the console, and starts it again on the same port.
async fn restart(scene: &mut Scene) {
    scene.console.take().unwrap().kill();
    scene.console = Some(Tidewater::start(&["console"], &scene.config));
    scene.serving().await;
}

/// Somebody new becomes eligible.
async fn code(scene: &Scene) {
    let customers = "select 100 + count(*) from customers";
    let row = scene.source.query_one(customers, &[]).await.unwrap();
    let customer: i64 = row.get(0);
    let sql = format!(
        "insert into customers values ({customer}, 'premium');
         insert into orders
             select {customer} * 1000 + d, {customer}, 2, 2, 1, 9.50, 'paid', null,
                    now() - make_interval(days => 3 * d)
             from generate_series(1, 3) d"
    );
    scene.source(&sql).await;
}

/// More of a shop than the other tests need, so that there is something to see: ten stores with 30 products, of which
/// some sell fast, some lie there, and some are out.
const MORE: &str = "
    insert into inventory
        select s, p, case when (s * 7 + p * 3) % 17 = 0 then 0 else 1 + (s * 131 + p * 53) % 190 end
        from generate_series(1, 10) s, generate_series(5, 40) p;
    insert into customers select n, 'basic' from generate_series(1000, 1200) n;
    insert into orders
        select 100000 + row_number() over (), 1000 + (s * 31 + p * 17 + n * 7) % 200, s, p, 1 + n % 3, 4.20, 'paid', null,
               now() - make_interval(mins => (n * 397 + s * 61 + p * 149) % 10000)
        from generate_series(1, 10) s, generate_series(1, 40) p,
             generate_series(1, 1 + (s * 13 + p * 29) % 37) n";
