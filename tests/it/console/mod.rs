//! The console beside a shop that lives, on real servers, met over real sockets and in a real browser.

mod answers;
mod live;
mod page;
mod rules;

use serde_json::Value;
use tidewater::connection::{Connection, Database, connect};
use tidewater::exit::ExitCode;

use crate::support::http::Client;
use crate::support::{Tidewater, database_url, free_port, kafka_brokers, unique, until};

/// A shop of which 300 customers have bought twice of everything lately, with all roles and a console.
struct Scene {
    roles: Tidewater,
    /// None while it is started again.
    console: Option<Tidewater>,
    config: String,
    address: String,
    source: Database,
    sink: Database,
}

/// A small shop whose customers are premium, and bought product 1 in store 1 three times; there is plenty of it.
const SHOP: &str = "
    create table customers (customer_id bigint primary key, tier text not null,
                            contact_allowed boolean not null default true);
    create table inventory (store_id bigint, product_id bigint, on_hand integer not null,
                            primary key (store_id, product_id));
    create table orders (order_id bigint primary key, customer_id bigint not null,
                         store_id bigint not null, product_id bigint not null,
                         quantity integer not null, unit_price numeric(12, 2) not null,
                         status text not null, promotion_code text, placed_at timestamptz not null);
    insert into customers select n, 'premium' from generate_series(1, 5) n;
    insert into inventory select s, p, 100 * p from generate_series(1, 3) s, generate_series(1, 4) p;
    insert into orders
        select row_number() over (), c, s, p, 1, 9.50, 'paid', null, now() - make_interval(days => 3 * d)
        from generate_series(1, 2) c, generate_series(1, 3) s, generate_series(1, 4) p,
             generate_series(1, 3) d
        where p < 4";

impl Scene {
    async fn start(name: &str) -> Scene {
        let name = unique(name);
        let server: Connection = crate::support::postgres_url().parse().unwrap();
        let admin = connect(&server).await.unwrap();
        let create = format!("create database {name}");
        admin.batch_execute(&create).await.unwrap();
        let source = connect(&server.with_database(&name)).await.unwrap();
        source.batch_execute(SHOP).await.unwrap();
        let (http, listen) = (free_port(), free_port());
        let config = format!(
            "[source]\nurl = \"{}\"\nslot = \"{name}\"\npublication = \"{name}\"\n\
             [kafka]\nbrokers = \"{}\"\nprefix = \"{name}\"\npartitions = 2\n\
             [sink]\nurl = \"{}\"\n[retail]\ngroup = \"{name}\"\n\
             [http]\nlisten = \"127.0.0.1:{http}\"\n",
            database_url(&name),
            kafka_brokers(),
            database_url(&format!("{name}_sink")),
        );
        // The console is a process of its own here, so that it can be killed by itself.
        let console = config.replace(
            &format!("[http]\nlisten = \"127.0.0.1:{http}\"\n"),
            &format!(
                "[console]\nlisten = \"127.0.0.1:{listen}\"\nroles = [\"127.0.0.1:{http}\"]\n"
            ),
        );
        let roles = Tidewater::start(&["run"], &config);
        let mut scene = Scene {
            console: Some(Tidewater::start(&["console"], &console)),
            sink: sink(&name).await,
            roles,
            config: console,
            address: format!("127.0.0.1:{listen}"),
            source,
        };
        scene.serving().await;
        scene
    }

    async fn serving(&mut self) {
        until("the console to serve", async || {
            let console = self.console.as_mut().unwrap();
            assert!(console.is_running(), "{}", console.log());
            console.log().contains("serving the console")
        })
        .await;
    }

    fn console(&self) -> &Tidewater {
        self.console.as_ref().unwrap()
    }

    fn client(&self) -> Client {
        Client::new(&self.address, None)
    }

    /// A client with a key that has this scope, once the console knows it.
    async fn with_key(&self, scope: &str) -> Client {
        let client = Client::new(&self.address, Some(self.key(scope)));
        until("the key to be known", async || {
            client.put("/api/rules/0", "{}").await.status != 401
        })
        .await;
        client
    }

    fn key(&self, scope: &str) -> String {
        let name = unique("key");
        let arguments = [
            "keys", "create", "--json", "--name", &name, "--scope", scope,
        ];
        let made = Tidewater::run(&arguments, &self.config).expect(ExitCode::Success);
        let made: Value = serde_json::from_str(&made.output).unwrap();
        made["key"].as_str().unwrap().to_owned()
    }

    async fn source(&self, sql: &str) {
        self.source.batch_execute(sql).await.unwrap();
    }

    /// Waits until codes are issued.
    async fn codes(&self) {
        until("codes", async || {
            let codes = "select count(*) from promotion where state = 'dispatched'";
            self.sink
                .query_one(codes, &[])
                .await
                .unwrap()
                .get::<_, i64>(0)
                > 3
        })
        .await;
    }

    /// Ends all of it as a person would.
    fn end(self) {
        self.console.unwrap().terminate().expect(ExitCode::Success);
        self.roles.terminate().expect(ExitCode::Success);
    }
}

/// Connects to the sink as soon as the roles have created it.
async fn sink(name: &str) -> Database {
    let sink: Connection = database_url(&format!("{name}_sink")).parse().unwrap();
    let mut connected = None;
    until("the sink", async || {
        if let Ok(database) = connect(&sink).await
            && database.execute("select from api_key", &[]).await.is_ok()
        {
            connected = Some(database);
        }
        connected.is_some()
    })
    .await;
    connected.unwrap()
}
