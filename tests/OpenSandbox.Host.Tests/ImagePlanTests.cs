using System.Text.Json;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Images;

namespace OpenSandbox.Host.Tests;

public sealed class ImagePlanTests
{
    [Fact]
    public void From_EveryKindOfStep_IsPlanned()
    {
        ImagePlan plan = Plan("""
            {"base":"base","builderMemoryMB":2048,"steps":[
              {"type":"apt_install","args":{"packages":["curl","git=1:2.*"]}},
              {"type":"pip_install","args":{"packages":["requests>=2,<3"]}},
              {"type":"run","args":{"commands":["a | b","c"]}},
              {"type":"env","args":{"vars":{"A":"b c"}}},
              {"type":"workdir","args":{"path":"/workspace"}},
              {"type":"add_file","args":{"path":"/x","content":"aGk=","encoding":"base64"}},
              {"type":"add_dir","args":{"path":"/d/","files":[{"relativePath":"e/f","content":"aGk="}]}}]}
            """);
        Assert.Equal(2_048, plan.BuilderMemoryMib);
        Assert.Equal([1, 1, 2, 3, 3, 4, 5, 6, 7], plan.Actions.Select(static action => action.Step));
        Assert.Equal(["git=1:2.*"], plan.Actions[1].Command![^1..]);
        Assert.Equal(["bash", "-c", "a | b"], plan.Actions[3].Command!);
        Assert.Equal("/d/e/f", plan.Actions[8].File!.Value.Path);
        Assert.Equal("hi"u8.ToArray(), plan.Actions[8].File!.Value.Content);
    }

    [Fact]
    public void Hash_MemoryAndWhiteSpace_DoNotCount()
    {
        string hash = Plan("""{"base":"base","steps":[{"type":"run","args":{"commands":["é<&'"]}}]}""").Hash;
        Assert.Equal(hash, Plan("""{ "steps" : [ { "type":"run", "args" : {"commands":["é<&'"]} } ], "builderMemoryMB": 512, "name": "n", "base": "" }""").Hash);
        Assert.NotEqual(hash, Plan("""{"base":"base","steps":[{"type":"run","args":{"commands":["e"]}}]}""").Hash);
        Assert.Equal(64, Plan("{}").Hash.Length);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("""{"base":"alpine"}""")]
    [InlineData("""{"Steps":[{"type":"run","args":{"commands":["other"]}}]}""")]
    [InlineData("""{"steps":[],"Steps":[{"type":"run","args":{"commands":["other"]}}]}""")]
    [InlineData("""{"BASE":"base"}""")]
    [InlineData("""{"steps":[{"Type":"run","args":{"commands":["a"]}}]}""")]
    [InlineData("""{"steps":[{"type":"run","Args":{"commands":["a"]}}]}""")]
    [InlineData("""{"steps":[{"type":"run","args":{"commands":["a"]},"more":"\ud800"}]}""")]
    [InlineData("""{"steps":[],"more":"\ud800"}""")]
    [InlineData("""{"\ud800":1}""")]
    [InlineData("""{"steps":[null]}""")]
    [InlineData("""{"steps":[{"type":"copy"}]}""")]
    [InlineData("""{"steps":[{"type":"run"}]}""")]
    [InlineData("""{"steps":[{"type":"run","args":{"commands":[]}}]}""")]
    [InlineData("""{"steps":[{"type":"run","args":{"commands":[null]}}]}""")]
    [InlineData("""{"steps":[{"type":"apt_install","args":{"packages":["-o=x"]}}]}""")]
    [InlineData("""{"steps":[{"type":"pip_install","args":{"packages":["a$b"]}}]}""")]
    [InlineData("""{"steps":[{"type":"env","args":{"vars":{"1A":"b"}}}]}""")]
    [InlineData("""{"steps":[{"type":"env","args":{"vars":{"A":"b\nC=d"}}}]}""")]
    [InlineData("""{"steps":[{"type":"workdir","args":{"path":"relative"}}]}""")]
    [InlineData("""{"steps":[{"type":"add_file","args":{"path":"/x","content":"?","encoding":"base64"}}]}""")]
    [InlineData("""{"steps":[{"type":"add_file","args":{"path":"/x","content":"?","encoding":"rot13"}}]}""")]
    [InlineData("""{"steps":[{"type":"add_dir","args":{"path":"/x","files":[{"relativePath":"../y","content":""}]}}]}""")]
    [InlineData("""{"steps":[{"type":"add_dir","args":{"path":"/x","files":[null]}}]}""")]
    public void From_WhatCannotBeBuilt_IsRefused(string json) => Assert.Equal(400, Assert.Throws<ApiException>(() => Plan(json)).Status);

    [Theory]
    [InlineData("""{"steps":[],"steps":[{"type":"run","args":{"commands":["a"]}}]}""")]
    [InlineData("""{"steps":[{"type":"run","args":{"commands":["a"],"commands":["b"]}}]}""")]
    [InlineData("""{"steps":[{"type":"env","args":{"vars":{"A":"b","A":"c"}}}]}""")]
    public void From_AMemberTwice_IsRefused(string json) => Assert.Throws<JsonException>(() => Plan(json));

    [Fact]
    public void Manifest_Small_IsKeptAsItWasSent()
    {
        const string sent = """{"base":"base","steps":[{"type":"add_file","args":{"path":"/x","content":"é"}}],"name":"n"}""";
        Assert.Equal(sent, Plan(sent).Manifest.GetRawText());
        Assert.Equal(sent, KeptManifest.ForList(Plan(sent).Manifest).GetRawText());
    }

    [Fact]
    public void Manifest_LargeFiles_IsKeptWithoutTheirContents()
    {
        string content = new('x', KeptManifest.MaxBytes);
        JsonElement kept = Plan($$$"""{"steps":[{"type":"add_file","args":{"path":"/x","content":"{{{content}}}"}},{"type":"run","args":{"commands":["a"]}}]}""").Manifest;
        string digest = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(content)));
        Assert.Equal(
            $$$"""{"steps":[{"type":"add_file","args":{"path":"/x","contentSha256":"{{{digest}}}","contentLength":{{{content.Length}}}}},{"type":"run","args":{"commands":["a"]}}]}""",
            kept.GetRawText());
    }

    [Fact]
    public void Manifest_LargeWithoutFiles_IsKeptAsTypesOfSteps()
    {
        string command = new('x', 60_000);
        JsonElement kept = Plan($$$"""{"steps":[{"type":"run","args":{"commands":["{{{command}}}","{{{command}}}"]}}],"more":[]}""").Manifest;
        Assert.Equal("""{"steps":[{"type":"run"}]}""", kept.GetRawText());
        Assert.Equal("""{"steps":[{"type":"run"}]}""", KeptManifest.ForList(Plan($$$"""{"steps":[{"type":"run","args":{"commands":["{{{command}}}"]}}]}""").Manifest).GetRawText());
        Assert.Equal("""{"steps":[]}""", Plan($$$"""{"more":"{{{new string('x', 100_000)}}}"}""").Manifest.GetRawText());
    }

    private static ImagePlan Plan(string json) => ImagePlan.From(JsonDocument.Parse(json).RootElement);
}
