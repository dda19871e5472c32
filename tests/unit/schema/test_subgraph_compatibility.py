"""What Apollo's subgraph compatibility suite asks of a library, asked of Strawberry here: its `products` subgraph.

The suite itself runs in containers, with a router that is downloaded; these are its capabilities by name.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import strawberry
from strawberry.schema_directive import Location

from schema.composition.graphs import FEDERATION_VERSION
from schema.graph import DOMAINS, subgraph

EMAIL = "support@apollographql.com"
CUSTOM = "https://myspecs.dev/myCustomDirective/v1.0"


@strawberry.federation.schema_directive(locations=[Location.OBJECT], name="custom", compose=True, import_url=CUSTOM)
class Custom:
    pass


@strawberry.federation.type(shareable=True)
class ProductDimension:
    size: str | None
    weight: float | None
    unit: str | None = strawberry.federation.field(inaccessible=True, default=None)


@strawberry.federation.type(keys=["email"])
class User:
    email: strawberry.ID = strawberry.federation.field(external=True)
    total_products_created: int | None = strawberry.federation.field(external=True)
    years_of_employment: int = strawberry.federation.field(external=True)
    name: str | None = strawberry.federation.field(override="users", default="Jane Smith")

    @strawberry.federation.field(requires=["totalProductsCreated", "yearsOfEmployment"])  # type: ignore[untyped-decorator]
    def average_products_created_per_year(self) -> int | None:
        return self.total_products_created // self.years_of_employment if self.total_products_created else None

    @classmethod
    def resolve_reference(cls, **given: Any) -> User:
        return cls(
            email=given["email"],
            total_products_created=given.get("totalProductsCreated"),
            years_of_employment=given.get("yearsOfEmployment", 1),
        )


@strawberry.type
class CaseStudy:
    case_number: strawberry.ID


@strawberry.federation.type(keys=["study { caseNumber }"])
class ProductResearch:
    study: CaseStudy
    outcome: str | None = None

    @classmethod
    def resolve_reference(cls, **given: Any) -> ProductResearch:
        return cls(study=CaseStudy(case_number=given["study"]["caseNumber"]), outcome="good")


@strawberry.federation.type(keys=["id", "sku package"], directives=[Custom()])
class Product:
    id: strawberry.ID
    sku: str | None = None
    package: str | None = None
    notes: str | None = strawberry.federation.field(tags=["internal"], default=None)

    @strawberry.field
    def dimensions(self) -> ProductDimension | None:
        return ProductDimension(size="small", weight=1.0)

    @strawberry.federation.field(provides=["totalProductsCreated"])  # type: ignore[untyped-decorator]
    def created_by(self) -> User | None:
        return User(email=strawberry.ID(EMAIL), total_products_created=1337, years_of_employment=10)

    @classmethod
    def resolve_reference(cls, **given: Any) -> Product:
        return cls(id=given.get("id", strawberry.ID("apollo-federation")), sku=given.get("sku", "federation"))


@strawberry.federation.interface_object(keys=["id"])
class Inventory:
    id: strawberry.ID
    deprecated_products: int = 0


@strawberry.type
class Query:
    @strawberry.field
    def product(self, id: strawberry.ID) -> Product | None:
        return Product(id=id)


SCHEMA = strawberry.federation.Schema(
    query=Query, types=[Product, ProductResearch, User, Inventory], federation_version=FEDERATION_VERSION
)
SDL = SCHEMA.as_str()


@pytest.mark.parametrize(
    ("capability", "written"),
    [
        ("@link", r'@link\(url: "https://specs\.apollo\.dev/federation/v2\.9", import: \['),
        ("@key single", r'type Product .*@key\(fields: "id"\)'),
        ("@key multi", r'type Product .*@key\(fields: "sku package"\)'),
        ("@key composite", r'type ProductResearch .*@key\(fields: "study \{ caseNumber \}"\)'),
        ("@shareable", r"type ProductDimension @shareable"),
        ("@inaccessible", r"unit: String @inaccessible"),
        ("@external", r"totalProductsCreated: Int @external"),
        ("@requires", r'PerYear: Int @requires\(fields: "totalProductsCreated yearsOfEmployment"\)'),
        ("@provides", r'createdBy: User @provides\(fields: "totalProductsCreated"\)'),
        ("@override", r'name: String @override\(from: "users"\)'),
        ("@tag", r'notes: String @tag\(name: "internal"\)'),
        ("@composeDirective", r'@composeDirective\(name: "@custom"\)'),
        ("@interfaceObject", r'type Inventory .*@interfaceObject'),
    ],
)  # fmt: skip
def test_the_library_writes_what_the_suite_looks_for(capability: str, written: str) -> None:
    assert re.search(written, SDL), f"{capability}: {SDL}"


async def test_service_tells_the_sdl() -> None:
    answer = await SCHEMA.execute("{ _service { sdl } }")

    assert answer.errors is None
    assert answer.data is not None
    assert "@key" in answer.data["_service"]["sdl"]


@pytest.mark.parametrize(
    ("representation", "select", "found"),
    [
        ({"__typename": "Product", "id": "apollo-studio"}, "... on Product { id }", {"id": "apollo-studio"}),
        (
            {"__typename": "Product", "sku": "federation", "package": "@apollo/federation"},
            "... on Product { sku dimensions { size } }",
            {"sku": "federation", "dimensions": {"size": "small"}},
        ),
        (
            {"__typename": "ProductResearch", "study": {"caseNumber": "1234"}},
            "... on ProductResearch { study { caseNumber } outcome }",
            {"study": {"caseNumber": "1234"}, "outcome": "good"},
        ),
        (
            {"__typename": "User", "email": EMAIL, "totalProductsCreated": 1337, "yearsOfEmployment": 10},
            "... on User { averageProductsCreatedPerYear }",
            {"averageProductsCreatedPerYear": 133},
        ),
    ],
    ids=["single", "multi", "composite", "requires"],
)
async def test_entities_are_found_by_each_kind_of_key(representation: Any, select: str, found: Any) -> None:
    query = f"query ($them: [_Any!]!) {{ _entities(representations: $them) {{ {select} }} }}"

    answer = await SCHEMA.execute(query, variable_values={"them": [representation]})

    assert answer.errors is None
    assert answer.data == {"_entities": [found]}


def test_what_the_subgraphs_of_the_product_use() -> None:
    used = {name for domain in DOMAINS for name in re.findall(r'"@(\w+)"', _links(subgraph(domain.name).as_str()))}

    assert used == {"key", "shareable"}


def test_federation_is_pinned_to_what_all_composers_accept() -> None:
    assert all(f"federation/v{FEDERATION_VERSION}" in subgraph(domain.name).as_str() for domain in DOMAINS)


def _links(sdl: str) -> str:
    return "".join(re.findall(r"@link\(.*?\)", sdl, flags=re.DOTALL))
