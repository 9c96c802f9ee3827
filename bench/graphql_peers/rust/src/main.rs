//! async-graphql over axum, on the data that `bench/graphql_peers/fleet.py` wrote: PROGRAM PORT DATA TOKEN

use std::{env, fs, sync::Arc};

use async_graphql::{EmptyMutation, EmptySubscription, Enum, Object, Request, Schema, SimpleObject, ID};
use axum::extract::State;
use axum::http::{header, HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{body::Bytes, Router};
use serde::Deserialize;

#[derive(Enum, Copy, Clone, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Quality {
    Good,
    Uncertain,
    Bad,
}

#[derive(SimpleObject, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sensor {
    id: ID,
    local_id: String,
    name: Option<String>,
    kind: String,
    site: String,
    value: Option<f64>,
    unit: Option<String>,
    quality: Option<Quality>,
}

#[derive(SimpleObject, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pump {
    id: ID,
    local_id: String,
    name: Option<String>,
    kind: String,
    site: String,
    points: Vec<Sensor>,
}

struct PumpConnection {
    fleet: Arc<Vec<Pump>>,
    first: usize,
}

#[Object]
impl PumpConnection {
    async fn nodes(&self) -> &[Pump] {
        &self.fleet[..self.first.min(self.fleet.len())]
    }
}

struct Query {
    fleet: Arc<Vec<Pump>>,
}

#[Object]
impl Query {
    async fn pump_list(&self, first: Option<usize>) -> PumpConnection {
        PumpConnection { fleet: Arc::clone(&self.fleet), first: first.unwrap_or(50) }
    }
}

type Fleet = Schema<Query, EmptyMutation, EmptySubscription>;

#[derive(Clone)]
struct Door {
    schema: Fleet,
    authorization: Arc<str>,
}

async fn answer(State(door): State<Door>, headers: HeaderMap, body: Bytes) -> Response {
    let stated = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if stated != Some(&*door.authorization) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Ok(request) = serde_json::from_slice::<Request>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let response = door.schema.execute(request).await;
    match serde_json::to_vec(&response) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [port, data, token] = arguments.as_slice() else {
        return Err(std::io::Error::other("PORT DATA TOKEN"));
    };
    let fleet: Vec<Pump> = serde_json::from_slice(&fs::read(data)?)?;
    let schema = Schema::new(Query { fleet: Arc::new(fleet) }, EmptyMutation, EmptySubscription);
    let door = Door { schema, authorization: format!("Bearer {token}").into() };
    let app = Router::new().route("/graphql", post(answer)).with_state(door);
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    axum::serve(listener, app).await
}
