using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>What handlers share.</summary>
internal static class Routes
{
    /// <summary>Where commands, terminals and relative paths begin that nothing else is said of.</summary>
    internal const string Home = "/home/sandbox";

    /// <summary>Characters of a sandbox's id, at most.</summary>
    internal const int MaxId = 64;

    /// <summary>A value of the route.</summary>
    internal static string Text(this HttpContext context, string name) => context.GetRouteValue(name) as string ?? "";

    /// <summary>The sandbox that the route names.</summary>
    /// <exception cref="ApiException">404 or 410.</exception>
    internal static Sandbox Sandbox(this HttpContext context, SandboxService sandboxes)
    {
        string id = context.Text("id");
        return id.Length is > 0 and <= MaxId ? sandboxes.Get(id) : throw ApiException.NotFound("sandbox not found");
    }

    /// <summary>A value of the query that must be there.</summary>
    /// <exception cref="ApiException">400.</exception>
    internal static string RequiredQuery(this HttpContext context, string name)
    {
        string value = context.Request.Query[name].ToString();
        return value.Length > 0 ? value : throw ApiException.Bad($"the query parameter '{name}' is missing");
    }
}
